//! Any bytes, read as a manifest or an index: what is needed of it are layers that it has, each once, with paths below the
//! skill.
#![no_main]

use std::collections::HashSet;

use agentteam_webhook::pull::manifest::{Document, LAYERS_MAX};
use agentteam_webhook::pull::package::{Reading, needed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(Document::Manifest(manifest)) = Document::read(data, &[]) else {
        return;
    };
    assert!(manifest.layers.len() <= LAYERS_MAX);
    let Ok(package) = needed(&manifest) else {
        return;
    };
    assert!(package.parts.len() + package.left_out.len() == manifest.layers.len());
    let (mut layers, mut paths) = (HashSet::new(), HashSet::new());
    for part in &package.parts {
        assert!(part.layer < manifest.layers.len() && layers.insert(part.layer));
        let Reading::File(path) = &part.reading else {
            continue;
        };
        let is_plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
        assert!(!path.is_root() && path.as_str().split('/').all(is_plain));
        assert!(paths.insert(path.as_str().to_lowercase()));
    }
});
