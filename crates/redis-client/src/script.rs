//! Lua scripts, and what can be run: a plain command or a call of a script.

use std::fmt;

use redis::{Cmd, ToRedisArgs, cmd};

/// A Lua script and its SHA-1. Make it once, in a `LazyLock`.
pub struct Script {
    code: &'static str,
    sha1: String,
}

impl Script {
    /// A script from its source.
    pub fn new(code: &'static str) -> Self {
        let sha1 = redis::Script::new(code).get_hash().to_owned();
        Self { code, sha1 }
    }

    /// A call of this script. All keys must lie in one slot: give them one `{tag}`.
    pub fn call(&self, keys: &[impl ToRedisArgs], args: impl ToRedisArgs) -> Command {
        let mut call = cmd("EVALSHA");
        call.arg(&self.sha1).arg(keys.len()).arg(keys).arg(args);
        Command {
            cmd: call,
            code: Some(self.code),
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Script").field(&self.sha1).finish()
    }
}

/// One thing to run: a plain command (`Cmd` converts into it) or a [`Script::call`].
#[derive(Clone)]
pub struct Command {
    pub(crate) cmd: Cmd,
    /// The source of the script that `cmd` calls by its SHA-1.
    pub(crate) code: Option<&'static str>,
}

impl Command {
    /// Appends it as sent; with `whole`, a script by its source, which also loads it.
    pub(crate) fn write(&self, out: &mut Vec<u8>, whole: bool) {
        match self.code {
            Some(code) if whole => {
                let mut eval = cmd("EVAL");
                eval.arg(code);
                for arg in self.cmd.args_iter().skip(2) {
                    if let redis::Arg::Simple(arg) = arg {
                        eval.arg(arg);
                    }
                }
                eval.write_packed_command(out);
            }
            _ => self.cmd.write_packed_command(out),
        }
    }
}

impl From<Cmd> for Command {
    fn from(cmd: Cmd) -> Self {
        Self { cmd, code: None }
    }
}

impl From<&mut Cmd> for Command {
    fn from(cmd: &mut Cmd) -> Self {
        Self {
            cmd: cmd.take(),
            code: None,
        }
    }
}

/// The name alone: arguments hold tokens and bodies.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.cmd.args_iter().next() {
            Some(redis::Arg::Simple(name)) => String::from_utf8_lossy(name),
            _ => "".into(),
        };
        f.debug_tuple("Command").field(&name).finish()
    }
}
