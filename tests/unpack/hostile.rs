//! Archives made to write elsewhere, or to mean two things: each is refused with its reason, and nothing appears.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use agentteam_webhook::pull::package::Reading;

use crate::scene::{SKILL_MD, Scene};
use crate::tarball::{Header, Tarball};

/// That each archive, behind a good `SKILL.md`, is refused for its reason.
pub fn refused(cases: Vec<(&str, Tarball, &str)>) {
    for (what, archive, reason) in cases {
        let why = Scene::new().refuse(&archive.end());
        assert!(why.contains(reason), "{what}: {why}");
    }
}

pub fn skill() -> Tarball {
    Tarball::skill()
}

#[test]
fn paths_that_lead_elsewhere() {
    let long = format!("{}f", "d/".repeat(5 << 10));
    let deep = |name: &str| skill().pax(&[&format!("path={name}")]).file("x", b"");
    refused(vec![
        ("up", skill().file("../canary", b"x"), "`..`"),
        ("up within", skill().file("a/../../x", b"x"), "`..`"),
        ("up as a directory", skill().directory("../"), "`..`"),
        ("absolute", skill().file("/tmp/x", b"x"), "absolute"),
        ("empty", skill().file("", b"x"), "empty"),
        (
            "by prefix",
            skill().entry(&Header::new(b'0', "x").with(345, b".."), b""),
            "`..`",
        ),
        ("by PAX", deep("../canary"), "`..`"),
        ("by PAX, absolute", deep("/x"), "absolute"),
        ("10 KiB", deep(&long), "1024 bytes"),
        ("a long name", deep(&"n".repeat(256)), "255 bytes"),
        (
            "by GNU's name",
            skill()
                .entry(&Header::gnu(b'L', "././@LongLink"), b"../canary\0")
                .file("x", b""),
            "`..`",
        ),
        (
            "a line break",
            skill().file("a\nb", b""),
            "control character",
        ),
        (
            "no UTF-8",
            skill().entry(&Header::new(b'0', "").with(0, b"\xff"), b""),
            "UTF-8",
        ),
        (
            "our own directory",
            skill().file(".partial/x", b""),
            ".partial",
        ),
        (
            "the root as a file",
            skill().file(".", b""),
            "named as a directory",
        ),
        (
            "a file as a directory",
            skill().file("x/", b"x"),
            "named as a directory",
        ),
    ]);
}

#[test]
fn a_path_twice() {
    refused(vec![
        ("a file", skill().file("SKILL.md", b"x"), "twice"),
        (
            "in another form",
            skill().file("./a", b"").file("a", b""),
            "twice",
        ),
        (
            "a file and a directory",
            skill().file("a", b"").directory("a/"),
            "twice",
        ),
        (
            "a directory and a file",
            skill().directory("a").file("a", b""),
            "twice",
        ),
        (
            "case",
            skill().file("skill.md", b""),
            "upper and lower case",
        ),
        (
            "case of a directory",
            skill().file("A/x", b"").file("a/y", b""),
            "upper and lower case",
        ),
        (
            "below a file",
            skill().file("a", b"").file("a/b", b""),
            "below a file",
        ),
    ]);
}

#[test]
fn links() {
    let etc = "the target";
    refused(vec![
        ("out", skill().link("l", "../canary"), etc),
        ("absolute", skill().link("l", "/etc/passwd"), etc),
        (
            "to nothing",
            skill().link("l", "none"),
            "no file of the skill",
        ),
        (
            "to a directory",
            skill().directory("d").link("l", "d"),
            "no file of the skill",
        ),
        (
            "to the root",
            skill().link("l", "."),
            "no file of the skill",
        ),
        ("to itself", skill().link("l", "l"), "no file of the skill"),
        (
            "a chain",
            skill().link("a", "b").link("b", "SKILL.md"),
            "no file of the skill",
        ),
        (
            "a chain out",
            skill().link("a", "..").link("b", "a/canary"),
            etc,
        ),
        (
            "then a file through it",
            skill().link("d", "..").file("d/canary", b"x"),
            "below a file or a link",
        ),
        (
            "then a file in its place",
            skill().link("f", "../canary").file("f", b"x"),
            "twice",
        ),
        (
            "in the place of a file",
            skill().file("f", b"x").link("f", "../canary"),
            "twice",
        ),
        (
            "in the place of a directory",
            skill().file("d/f", b"x").link("d", ".."),
            "twice",
        ),
        (
            "by PAX",
            skill().pax(&["linkpath=../canary"]).link("l", "SKILL.md"),
            etc,
        ),
        (
            "by GNU's name",
            skill()
                .entry(&Header::gnu(b'K', "././@LongLink"), b"/etc/passwd\0")
                .link("l", "x"),
            etc,
        ),
        ("without a target", skill().link("l", ""), "link to nothing"),
        (
            "a long target",
            skill()
                .pax(&[&format!("linkpath={}SKILL.md", "./".repeat(124))])
                .link("l", "x"),
            "more than 255 bytes",
        ),
        (
            "as SKILL.md",
            Tarball::default().file("a", b"x").link("SKILL.md", "a"),
            "no SKILL.md",
        ),
        (
            "hard",
            skill().entry(&Header::new(b'1', "l").target("../canary"), b""),
            "hard link",
        ),
        (
            "hard, within",
            skill().entry(&Header::new(b'1', "l").target("SKILL.md"), b""),
            "hard link",
        ),
    ]);
}

#[test]
fn what_is_no_file() {
    let typed = |flag| skill().entry(&Header::new(flag, "x"), b"");
    refused(vec![
        ("a character device", typed(b'3'), "a device"),
        ("a block device", typed(b'4'), "a device"),
        ("a FIFO", typed(b'6'), "a FIFO"),
        ("GNU's sparse file", typed(b'S'), "sparse"),
        ("GNU's directory", typed(b'D'), "type 'D'"),
        ("a volume", typed(b'V'), "type 'V'"),
        ("the rest of a volume", typed(b'M'), "type 'M'"),
        ("a contiguous file", typed(b'7'), "type '7'"),
        ("anything else", typed(b'Z'), "type 'Z'"),
        (
            "PAX's sparse file",
            skill()
                .pax(&["GNU.sparse.major=1", "GNU.sparse.minor=0"])
                .file("x", b"1\n0\n1\n"),
            "sparse",
        ),
        (
            "PAX's sparse name",
            skill().pax(&["GNU.sparse.name=../canary"]).file("x", b""),
            "sparse",
        ),
    ]);
}

#[test]
fn modes_are_masked_and_the_rest_of_metadata_is_left_behind() {
    let records = [
        "SCHILY.xattr.security.capability=\u{1}\0",
        "SCHILY.acl.access=user::rwx",
        "mtime=-1.5",
        "uid=0",
        "uname=root",
        "comment=x",
    ];
    let archive = Tarball::default()
        .entry(
            &Header::new(b'g', "pax_global_header"),
            b"16 comment=0123\n",
        )
        .entry(
            &Header::new(b'0', "SKILL.md").mode("0000000\0"),
            SKILL_MD.as_bytes(),
        )
        .entry(&Header::new(b'0', "setuid").mode("0006711\0"), b"")
        .entry(&Header::new(b'0', "world").mode("0000666\0"), b"")
        .entry(&Header::new(b'5', "sticky/").mode("0001777\0"), b"")
        .entry(&Header::new(b'5', "closed/").mode("0000000\0"), b"")
        .file("closed/file", b"")
        .pax(&records)
        .file("capable", b"");
    let scene = Scene::new();
    scene.unpack_archive(&archive.end()).unwrap();
    let modes: Vec<_> = scene
        .listing()
        .into_iter()
        .map(|line| {
            line.split_once(" \"")
                .map_or(line.clone(), |(shown, _)| shown.to_owned())
        })
        .collect();
    let expected = [
        "644 SKILL.md",
        "644 capable",
        "755 closed/",
        "644 closed/file",
        "755 setuid",
        "755 sticky/",
        "644 world",
    ];
    assert_eq!(modes, expected);
    let root = fs::metadata(scene.skill()).unwrap().permissions().mode();
    assert_eq!(root & 0o7777, 0o755);
}

#[test]
fn a_harmless_link_stays_a_link() {
    let archive = skill()
        .link("AGENTS.md", "SKILL.md")
        .file("docs/v1.md", b"one")
        .link("docs/latest.md", "./v1.md")
        .link("docs/skill.md", "../SKILL.md");
    let scene = Scene::new();
    scene.unpack_archive(&archive.end()).unwrap();
    let links: Vec<_> = scene
        .listing()
        .into_iter()
        .filter(|line| line.contains("->"))
        .collect();
    let expected = [
        "AGENTS.md -> SKILL.md",
        "docs/latest.md -> ./v1.md",
        "docs/skill.md -> ../SKILL.md",
    ];
    assert_eq!(links, expected);
}

#[test]
fn a_link_is_judged_where_it_comes_out() {
    // Within the archive it is harmless, and the skill would lose what it names.
    let nested = Tarball::default()
        .file("shared.md", b"x")
        .file("web-research/SKILL.md", SKILL_MD.as_bytes())
        .link("web-research/l", "../shared.md");
    assert!(Scene::new().refuse(&nested.end()).contains("the target"));
    // What is left out is not looked at.
    let beside = Tarball::default()
        .link("etc", "/etc")
        .file("web-research/SKILL.md", SKILL_MD.as_bytes());
    let unpacked = Scene::new().unpack_archive(&beside.end()).unwrap();
    assert!(unpacked.warnings[0].to_string().contains(r#""etc""#));
}

#[test]
fn layers_of_an_image_cannot_write_through_each_other() {
    let below = skill().link("out", "..").file("file", b"").end();
    for above in [
        Tarball::default().file("out/canary", b"x"),
        Tarball::default().file("file/x", b"x"),
        Tarball::default().link("SKILL.md", "../canary"),
        Tarball::default().file(".wh..wh.plnk", b""),
        Tarball::default().file(".wh...", b""),
        Tarball::default().file("../.wh.canary", b""),
    ] {
        let scene = Scene::new();
        let refused = scene.unpack_layers(&Reading::ImageLayer, &[&below, &above.end()]);
        assert!(refused.is_err());
        scene.assert_untouched();
    }
}

#[test]
fn archives_beside_each_other_do_not_overwrite() {
    let scene = Scene::new();
    let other = Tarball::default().file("SKILL.md", b"x").end();
    let refused = scene.unpack_layers(&Reading::Archive, &[&skill().end(), &other]);
    assert!(refused.unwrap_err().to_string().contains("layer 1"));
    scene.assert_untouched();
}

#[test]
fn without_a_skill_nothing_appears() {
    let missing = Tarball::default().file("README.md", b"x").end();
    assert!(Scene::new().refuse(&missing).contains("no SKILL.md"));
    assert!(Scene::new().refuse(b"").contains("is empty"));
    assert!(
        Scene::new()
            .refuse(&Tarball::default().end())
            .contains("no SKILL.md")
    );
}

#[test]
fn a_bad_skill_md_is_an_error_or_a_warning() {
    for (content, says) in [
        ("# No front matter\n", "no front matter"),
        (
            "---\nname: other\ndescription: x\n---\n",
            r#"the name "other""#,
        ),
        ("---\nname: web-research\n---\n", "no description"),
    ] {
        let archive = Tarball::default()
            .file("SKILL.md", content.as_bytes())
            .end();
        let mut scene = Scene::new();
        assert!(scene.refuse(&archive).contains(says), "{content}");
        scene.is_strict = false;
        let warnings = scene.unpack_archive(&archive).unwrap().warnings;
        assert!(warnings[0].to_string().contains(says), "{warnings:?}");
        assert_eq!(scene.listing().len(), 1);
    }
}
