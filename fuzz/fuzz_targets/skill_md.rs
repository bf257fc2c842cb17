//! Any bytes, read as a `SKILL.md`: whatever is wrong with it is said on one short line.
#![no_main]

use agentteam_webhook::pull::skill_md::check;
use agentteam_webhook::skill::SkillName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let skill = SkillName::parse("web-research").unwrap();
    let problems = check(data, &skill);
    assert!(problems.len() <= 6);
    for problem in problems {
        let said = problem.to_string();
        assert!(!said.contains(char::is_control) && said.len() < 2048, "{said:?}");
    }
});
