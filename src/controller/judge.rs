//! Whether a team is valid, by the same judgement as at the door.

use crate::condition::Condition;
use crate::inject::Settings;
use crate::team::Team;
use crate::validation::{List, problems};

/// `SkillsValid`, with every problem in its message.
#[must_use]
pub fn skills_valid(team: &Team, settings: &Settings) -> Condition {
    let problems = problems(team, settings);
    if !problems.is_empty() {
        return Condition::new(
            "SkillsValid",
            false,
            "InvalidTeam",
            List(&problems).to_string(),
        );
    }
    let agents = team.agents();
    let skills: usize = agents.iter().map(|agent| agent.skills().count()).sum();
    Condition::new(
        "SkillsValid",
        true,
        "Valid",
        format!("{} agents with {skills} skills", agents.len()),
    )
}
