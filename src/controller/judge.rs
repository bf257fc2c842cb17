//! Whether a team is valid, by the same code that admission uses.

use crate::condition::Condition;
use crate::team::Team;

/// `SkillsValid`, with every problem in its message.
#[must_use]
pub fn skills_valid(team: &Team) -> Condition {
    let problems = team.problems();
    if problems.is_empty() {
        let skills: usize = team.agents().iter().map(|agent| agent.skills.len()).sum();
        let message = format!("{} agents with {skills} skills", team.agents().len());
        return Condition::new("SkillsValid", true, "Valid", message);
    }
    Condition::new("SkillsValid", false, "InvalidSkills", problems.join("; "))
}
