//! Pages of the documentation that install and uninstall.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::documentation::run;
use crate::install;
use crate::node::Node;

/// What other tests need is put back, whatever the page did.
fn run_alone(name: &str, page: &str) {
    let node = Node::alone();
    install::delete(&node);
    let ran = catch_unwind(AssertUnwindSafe(|| run(&node, name, page)));
    install::prepare(&node);
    install::apply(&node, "0.1.0");
    if let Err(panic) = ran {
        resume_unwind(panic);
    }
}

#[test]
fn the_readme() {
    run_alone("readme", "README.md");
}

#[test]
fn how_to_install() {
    run_alone("install", "docs/how-to/install.md");
}
