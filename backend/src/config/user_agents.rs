//! Which programs aren't served, by what they call themselves.

use super::reader::Reader;

/// Rules for the header `User-Agent`, in lower case. What a program calls itself proves nothing: this keeps out those that are
/// honest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserAgentRules {
    blocked: Vec<String>,
    approved: Vec<String>,
}

impl UserAgentRules {
    /// Whether a program that calls itself this is refused.
    pub fn refuse(&self, user_agent: &str) -> bool {
        if self.blocked.is_empty() {
            return false;
        }
        let user_agent = user_agent.to_lowercase();
        let any = |parts: &[String]| parts.iter().any(|part| user_agent.contains(part));
        any(&self.blocked) && !any(&self.approved)
    }
}

impl Reader<'_> {
    pub(super) fn user_agents(&mut self) -> UserAgentRules {
        UserAgentRules {
            blocked: self.parts("BLOCKED_USER_AGENTS"),
            approved: self.parts("APPROVED_USER_AGENTS"),
        }
    }

    fn parts(&mut self, name: &str) -> Vec<String> {
        let Some(value) = self.text(name) else {
            return Vec::new();
        };
        let parts: Vec<_> = value
            .split(',')
            .map(|part| part.trim().to_lowercase())
            .collect();
        if parts.iter().any(String::is_empty) {
            return self.wrong(
                name,
                "parts of user agents such as bot,crawler with commas between",
            );
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocked_ones_are_refused_unless_approved() {
        let parts = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
        let rules = UserAgentRules {
            blocked: parts(&["bot", "spider"]),
            approved: parts(&["uptimebot/"]),
        };
        assert!(rules.refuse("Mozilla/5.0 (compatible; SomeBot/2.1)"));
        assert!(rules.refuse("BaiduSpider"));
        assert!(!rules.refuse("UptimeBot/1.0"));
        assert!(!rules.refuse("Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0"));
        assert!(!rules.refuse(""));
        assert!(!UserAgentRules::default().refuse("SomeBot/2.1"));
    }
}
