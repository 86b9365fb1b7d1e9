//! What a fleet promises when a part of it fails: instances that die, Redis that is away.

mod instance_dies;
mod redis_away;
