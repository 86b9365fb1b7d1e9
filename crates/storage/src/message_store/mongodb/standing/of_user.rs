//! What one user is to many rooms, as somebody asks who comes back to all of them: what isn't remembered takes two reads,
//! however many they are.

use std::collections::HashMap;
use std::sync::Arc;

use mongodb::bson::doc;
use protocol::{RoomId, RoomRole, UserId};
use serde::Deserialize;

use super::super::super::Membership;
use super::super::MongoStore;
use super::super::collections::all;
use super::super::failure::Outcome;
use super::RoomFacts;
use crate::StoreError;

impl MongoStore {
    pub async fn memberships(
        &self,
        user: &UserId,
        rooms: &[RoomId],
    ) -> Result<Vec<Option<Membership>>, StoreError> {
        let (facts, roles) = tokio::try_join!(self.facts_of(rooms), self.roles_of(user, rooms))?;
        let membership = |room| {
            let kind = facts.get(room)?.kind;
            let role = roles.get(room).copied();
            Some(Membership { kind, role })
        };
        Ok(rooms.iter().map(membership).collect())
    }

    /// Of those of these rooms that exist.
    async fn facts_of(&self, rooms: &[RoomId]) -> Outcome<HashMap<RoomId, Arc<RoomFacts>>> {
        let memory = &self.shared.memory;
        let mut facts = HashMap::with_capacity(rooms.len());
        let mut missing = HashMap::new();
        for room in rooms {
            if let Some(known) = memory.rooms.get(room, &memory.marks) {
                facts.insert(room.clone(), known);
            } else {
                missing.insert(room.clone(), memory.see_room(room));
            }
        }
        if missing.is_empty() {
            return Ok(facts);
        }
        let wanted = missing.keys().map(RoomId::as_str).collect();
        for document in self.rooms_by_id(wanted).await? {
            let id = document.id.clone();
            let found = Arc::new(RoomFacts::new(document));
            if let Some(seen) = missing.remove(&id) {
                memory.rooms.put(id.clone(), Arc::clone(&found), seen);
            }
            facts.insert(id, found);
        }
        Ok(facts)
    }

    /// The roles of a user in those of these rooms that the user is a member of.
    async fn roles_of(
        &self,
        user: &UserId,
        rooms: &[RoomId],
    ) -> Outcome<HashMap<RoomId, RoomRole>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Member {
            room_id: RoomId,
            role: RoomRole,
        }
        let memory = &self.shared.memory;
        let mut roles = HashMap::with_capacity(rooms.len());
        let mut missing = HashMap::new();
        for room in rooms {
            match memory.role(room, user) {
                Ok(role) => drop(roles.insert(room.clone(), role)),
                Err(seen) => drop(missing.insert(room.clone(), seen)),
            }
        }
        if missing.is_empty() {
            return Ok(roles);
        }
        let members = self
            .collections()
            .await?
            .members
            .clone_with_type::<Member>();
        let wanted: Vec<&str> = missing.keys().map(RoomId::as_str).collect();
        let find = members
            .find(doc! { "roomId": { "$in": wanted }, "userId": user.as_str() })
            .projection(doc! { "_id": 0, "roomId": 1, "role": 1 });
        for Member { room_id, role } in all(find).await? {
            if let Some(seen) = missing.remove(&room_id) {
                memory
                    .roles
                    .put((room_id.clone(), user.clone()), role, seen);
            }
            roles.insert(room_id, role);
        }
        Ok(roles)
    }
}
