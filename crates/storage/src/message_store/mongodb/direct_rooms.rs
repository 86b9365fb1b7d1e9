//! The rooms of two users. The id of one is made of the ids of its two, so that there is one however often and wherever it
//! is made at once. It sorts behind the ids of all other rooms.

use protocol::{RoomId, RoomKind, RoomRole, Timestamp, UserId};
use sha2::{Digest, Sha256};

use super::super::MadeRoom;
use super::super::rooms::check_pair;
use super::cached::{BlockLookup, RoomLookup};
use super::database::Database;
use super::documents::{MemberDocument, RoomDocument};
use super::failure::{Failure, Outcome, bounded, is_duplicate};
use super::members::Members;
use super::membership_changes::{MembershipChanges, insert_members};
use super::room_views::RoomViews;
use super::transaction::{in_transaction, to_the_end};
use super::users::Users;
use crate::StoreError;

/// What the ids of direct rooms begin with.
const PREFIX: &str = "direct-";

/// The room of two users, the smaller id first. 160 bits of a hash: no two pairs have the same.
fn direct_id((low, high): &(UserId, UserId)) -> RoomId {
    let hash = Sha256::new()
        .chain_update(low.as_str())
        .chain_update("\n")
        .chain_update(high.as_str())
        .finalize();
    let digits: String = hash[..20]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    RoomId::trusted(format!("{PREFIX}{digits}"))
}

/// True if this is the id of a direct room; the room needn't exist.
pub fn is_direct(room: &RoomId) -> bool {
    room.as_str().starts_with(PREFIX)
}

/// Makes and finds direct rooms. Cloning shares it.
#[derive(Clone)]
pub struct DirectRooms {
    pub database: Database,
    pub users: Users,
    pub rooms: RoomLookup,
    pub blocks: BlockLookup,
    pub members: Members,
    pub changes: MembershipChanges,
    pub views: RoomViews,
}

impl DirectRooms {
    pub async fn direct_room_id(
        &self,
        one: &UserId,
        other: &UserId,
    ) -> Result<Option<RoomId>, StoreError> {
        let id = direct_id(&(one.min(other).clone(), one.max(other).clone()));
        match self.rooms.facts(&id).await {
            Ok(_) => Ok(Some(id)),
            Err(Failure::Refused(StoreError::NotFound)) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    pub async fn direct_room(
        &self,
        user: &UserId,
        peer: &UserId,
        now: Timestamp,
    ) -> Result<MadeRoom, StoreError> {
        let (store, user, peer) = (self.clone(), user.clone(), peer.clone());
        to_the_end(async move { store.make_direct_room(&user, &peer, now).await }).await
    }

    async fn make_direct_room(
        &self,
        user: &UserId,
        peer: &UserId,
        now: Timestamp,
    ) -> Outcome<MadeRoom> {
        check_pair(user, peer)?;
        let pair = (user.min(peer).clone(), user.max(peer).clone());
        let users = self
            .users
            .users_by_id(vec![user.as_str(), peer.as_str()])
            .await?;
        if users.len() < 2 {
            return Err(StoreError::NotFound.into());
        }
        if self
            .blocks
            .between(user, std::slice::from_ref(peer))
            .await?
        {
            return Err(StoreError::Forbidden.into());
        }
        let id = direct_id(&pair);
        let both = [user.clone(), peer.clone()];
        let (room, joined) = match self.rooms.document(&id).await {
            Err(Failure::Refused(StoreError::NotFound)) => {
                let mut room = RoomDocument::new(id, RoomKind::Direct, String::new(), now);
                room.pair = Some(pair);
                match self.insert_direct_room(&room, &both, now).await {
                    // Made by somebody else at the same time.
                    Err(Failure::Mongodb(error)) if is_duplicate(&error) => {
                        (self.rooms.document(&room.id).await?, None)
                    }
                    made => {
                        made?;
                        (room, Some(vec![peer.clone()]))
                    }
                }
            }
            found => (found?, None),
        };
        let joined = match joined {
            Some(joined) => joined,
            None => self.bring_back(&room.id, &both, now).await?,
        };
        let room = self.views.view(room, Some(user)).await?;
        Ok(MadeRoom { room, joined })
    }

    async fn insert_direct_room(
        &self,
        room: &RoomDocument,
        both: &[UserId; 2],
        now: Timestamp,
    ) -> Outcome<()> {
        let member = |id| MemberDocument::new(&room.id, id, RoomRole::Member, 0, now);
        let members = both.each_ref().map(member);
        let collections = self.database.collections().await?;
        in_transaction!(&self.database, async |session| {
            bounded(collections.rooms.insert_one(room).session(&mut *session)).await?;
            insert_members(collections, &members, session).await
        })
    }

    /// Adds those of the two users who had left again, and returns them.
    async fn bring_back(
        &self,
        room: &RoomId,
        both: &[UserId; 2],
        now: Timestamp,
    ) -> Outcome<Vec<UserId>> {
        let mut joined = Vec::new();
        for user in both {
            if self.members.member_document(room, user).await?.is_none()
                && self.changes.join(room, user, RoomRole::Member, now).await?
            {
                joined.push(user.clone());
            }
        }
        Ok(joined)
    }
}
