//! Archives that different readers read differently, or that are broken: each is refused with its reason.

use std::io::Write;

use crate::hostile::{refused, skill};
use crate::scene::Scene;
use crate::tarball::{BLOCK, Header};

#[test]
fn headers_that_disagree() {
    let body = Header::new(b'0', "inner").sealed().0;
    let sized = |records: &[&str]| skill().pax(records).file("x", &body);
    refused(vec![
        ("a smaller size", sized(&["size=0"]), "different sizes"),
        ("a larger size", sized(&["size=1024"]), "different sizes"),
        (
            "a size that overflows",
            sized(&["size=18446744073709551616"]),
            r#"record "size""#,
        ),
        ("a negative size", sized(&["size=-1"]), r#"record "size""#),
        (
            "a size twice",
            sized(&["size=512", "size=0"]),
            r#"record "size""#,
        ),
        (
            "a path twice",
            sized(&["path=a", "path=b"]),
            r#"record "path""#,
        ),
        ("no path", sized(&["path="]), r#"record "path""#),
        (
            "a path that ends early",
            sized(&["path=a\0b"]),
            r#"record "path""#,
        ),
        (
            "another character set",
            sized(&["hdrcharset=BINARY"]),
            "hdrcharset",
        ),
        (
            "a target for a file",
            sized(&["linkpath=a"]),
            "names a target",
        ),
        (
            "a target in a file's header",
            skill().entry(&Header::new(b'0', "x").target("a"), b""),
            "names a target",
        ),
        (
            "content of a directory",
            skill().entry(&Header::new(b'5', "d"), &body),
            "has content",
        ),
        (
            "content of a link",
            skill().entry(&Header::new(b'2', "l").target("SKILL.md"), &body),
            "has content",
        ),
    ]);
}

#[test]
fn more_than_one_extended_header() {
    let gnu_name = |name: &[u8]| skill().entry(&Header::gnu(b'L', "././@LongLink"), name);
    refused(vec![
        (
            "PAX twice",
            skill().pax(&["path=a"]).pax(&["path=b"]).file("x", b""),
            "more than one extended header",
        ),
        (
            "PAX and GNU's name",
            skill()
                .pax(&["path=a"])
                .entry(&Header::gnu(b'L', "l"), b"b\0")
                .file("x", b""),
            "more than one extended header",
        ),
        (
            "GNU's name and PAX",
            gnu_name(b"b\0").pax(&["path=a"]).file("x", b""),
            "more than one extended header",
        ),
        (
            "GNU's name twice",
            gnu_name(b"a\0")
                .entry(&Header::gnu(b'L', "l"), b"b\0")
                .file("x", b""),
            "more than one extended header",
        ),
        (
            "GNU's name that ends early",
            gnu_name(b"a\0b\0").file("x", b""),
            "long name",
        ),
        (
            "GNU's name that does not end",
            gnu_name(b"a").file("x", b""),
            "long name",
        ),
        (
            "PAX of nothing",
            skill().pax(&["path=a"]),
            "describes nothing",
        ),
        (
            "PAX for all",
            skill().entry(&Header::new(b'g', "g"), b"13 path=../x\n"),
            r#"record "path""#,
        ),
        (
            "PAX for all behind PAX",
            skill()
                .pax(&["path=a"])
                .entry(&Header::new(b'g', "g"), b"")
                .file("x", b""),
            "describes nothing",
        ),
    ]);
}

#[test]
fn headers_that_readers_read_differently() {
    let with = |at, bytes: &[u8]| skill().entry(&Header::new(b'0', "x").with(at, bytes), b"");
    let raw = |header: Header| skill().raw(&header, b"");
    refused(vec![
        ("no magic", with(257, &[0; 8]), "no tar header"),
        ("another version", with(263, b"01"), "no tar header"),
        ("star", with(508, b"tar\0"), "no tar header"),
        (
            "a checksum",
            raw(Header::new(b'0', "x").size(0).sealed().with(0, b"y")),
            "checksum",
        ),
        (
            "no checksum",
            raw(Header::new(b'0', "x").size(0)),
            "checksum",
        ),
        ("a name and more", with(0, b"x\0y"), "field name"),
        ("a prefix and more", with(345, b"x\0y"), "field prefix"),
        ("a mode", with(100, b"rw-r--r-"), "field mode"),
        ("a user", with(108, b"\x000001750"), "field uid"),
        ("spaces for a user", with(108, b"        "), "field uid"),
        (
            "a negative size",
            raw(Header::new(b'0', "x").with(124, &[0xff; 12]).sealed()),
            "field size",
        ),
        (
            "a large size",
            raw(Header::new(b'0', "x")
                .with(124, b"\x80\0\0\0\x80\0\0\0\0\0\0\0")
                .sealed()),
            "field size",
        ),
        (
            "GNU's parts",
            skill().entry(&Header::gnu(b'0', "x").with(386, b"1"), b""),
            "no tar header",
        ),
    ]);
}

#[test]
fn what_is_cut_or_goes_on() {
    let whole = skill().file("x", b"content").end();
    for end in [1, 511, 513, 3 * BLOCK + 4, 4 * BLOCK - 1, 4 * BLOCK + 1] {
        let why = Scene::new().refuse(&whole[..end]);
        assert!(why.contains("in the middle"), "{end}: {why}");
    }
    // Some writers leave the end out, and all readers bear it.
    let scene = Scene::new();
    scene.unpack_archive(&skill().0).unwrap();
    assert_eq!(scene.listing().len(), 1);

    let more = [whole.clone(), skill().0].concat();
    assert!(Scene::new().refuse(&more).contains("after the end"));
    let mut lone = skill();
    lone.0.extend([0; BLOCK]);
    let lone = lone.file("x", b"").end();
    assert!(Scene::new().refuse(&lone).contains("block of zeros"));
    let padded = [whole, vec![0; 20 * BLOCK]].concat();
    Scene::new().unpack_archive(&padded).unwrap();
}

#[test]
fn compressed_data_that_is_broken() {
    let archive = skill().end();
    let gzip = gzip(&archive);
    let zstd = zstd::encode_all(&archive[..], 3).unwrap();
    for (what, bytes) in [
        ("gzip, cut", gzip[..gzip.len() - 4].to_vec()),
        (
            "gzip, another sum",
            [&gzip[..gzip.len() - 8], &[0; 8]].concat(),
        ),
        ("gzip, and more", [&gzip[..], b"more"].concat()),
        ("zstd, cut", zstd[..zstd.len() - 4].to_vec()),
        ("zstd, and more", [&zstd[..], b"more"].concat()),
        ("no archive", b"\x1f\x8bno".to_vec()),
        ("text", b"# A skill\n".repeat(100)),
    ] {
        let why = Scene::new().refuse(&bytes);
        assert!(why.starts_with("layer 0: "), "{what}: {why}");
    }
    for good in [gzip, zstd] {
        Scene::new().unpack_archive(&good).unwrap();
        // Members and frames follow each other as if they were one.
        let (one, other) = archive.split_at(BLOCK);
        let split = if good.starts_with(b"\x1f\x8b") {
            [self::gzip(one), self::gzip(other)].concat()
        } else {
            let encode = |part| zstd::encode_all(part, 3).unwrap();
            [encode(one), encode(other)].concat()
        };
        Scene::new().unpack_archive(&split).unwrap();
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}
