//! Finding messages by their words.

use futures_util::{StreamExt, stream};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use protocol::{RoomId, RoomKind, UserId, limits::PAGE_BYTES_MAX};
use storage::StoreError;

use crate::{Fixture, assert_error, reactions};

on_each! {
    every_word_must_be_there_and_the_last_may_be_a_beginning,
    letters_without_spaces_symbols_and_emoji_are_found,
    spellings_of_a_word_meet,
    nothing_in_a_query_is_syntax,
    any_query_is_answered,
    what_is_found_is_the_present_text,
    a_search_is_of_one_room_and_bounded,
    a_search_goes_on_where_a_page_ended,
}

const NOTHING: [u64; 0] = [];

async fn found(fixture: &Fixture, room: &RoomId, query: &str) -> Vec<u64> {
    let page = fixture
        .store
        .search(room, query, None, 100, None)
        .await
        .unwrap();
    assert!(!page.has_more);
    page.items.iter().map(|message| message.seq).collect()
}

async fn room_of_one(fixture: &Fixture) -> (RoomId, UserId) {
    let ann = fixture.user("ann").await;
    let room = fixture.room(RoomKind::Public, &[&ann]).await;
    (room, ann)
}

async fn a_search_goes_on_where_a_page_ended(fixture: Fixture) {
    let (room, ann) = room_of_one(&fixture).await;
    // Three fit, and a fourth doesn't.
    let long = "word ".repeat(PAGE_BYTES_MAX / 3 / 5);
    for _ in 0..7 {
        fixture.send(&room, &ann, &long).await;
        fixture.send(&room, &ann, "something else").await;
    }
    let mut pages = Vec::new();
    let mut before = None;
    loop {
        let page = fixture.store.search(&room, "word", before, 50, None);
        let page = page.await.unwrap();
        pages.push(
            page.items
                .iter()
                .map(|message| message.seq)
                .collect::<Vec<_>>(),
        );
        before = page.items.last().map(|message| message.seq);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(pages, [vec![13, 11, 9], vec![7, 5, 3], vec![1]]);
}

async fn every_word_must_be_there_and_the_last_may_be_a_beginning(fixture: Fixture) {
    let (room, ann) = room_of_one(&fixture).await;
    for body in [
        "The quick brown fox",
        "Brown bread, quickly!",
        "Crème brûlée",
        "год 2024",
        "東京 tower",
    ] {
        fixture.send(&room, &ann, body).await;
    }
    for (query, wanted) in [
        ("brown", &[2, 1][..]),
        ("BROWN", &[2, 1]),
        ("quick", &[2, 1]),
        ("quick brown", &[1]),
        ("brown quick", &[2, 1]),
        ("quickly", &[2]),
        ("uick", &[]),
        ("creme BRULEE", &[3]),
        ("brûl", &[3]),
        ("ГОД", &[4]),
        ("202", &[4]),
        ("東京", &[5]),
        ("fox bread", &[]),
        ("", &[]),
        ("  \n\t ", &[]),
    ] {
        assert_eq!(found(&fixture, &room, query).await, wanted, "{query:?}");
    }
    let nowhere = "nowhere".parse().unwrap();
    let missing = fixture
        .store
        .search(&nowhere, "brown", None, 10, None)
        .await;
    assert_error!(missing, StoreError::NotFound);
}

async fn letters_without_spaces_symbols_and_emoji_are_found(fixture: Fixture) {
    let (room, ann) = room_of_one(&fixture).await;
    for body in [
        "我家在上海东边",
        "検索機能のテスト",
        "ฉันรักภาษาไทย",
        "학교에 갑니다",
        "C++ costs 5€ 👍🏽 ❤\u{fe0f}",
        "iPhone手机 #1️⃣",
    ] {
        fixture.send(&room, &ann, body).await;
    }
    for (query, wanted) in [
        ("上海", &[1][..]),
        ("海", &[1]),
        ("海上", &[]),
        ("上海 家", &[1]),
        ("機能", &[2]),
        ("テスト", &[2]),
        ("ﾃｽﾄ", &[2]),
        ("ภาษา", &[3]),
        ("학교", &[4]),
        ("교에", &[4]),
        ("c++", &[5]),
        ("€", &[5]),
        ("5€", &[5]),
        ("👍", &[5]),
        ("👍🏽", &[5]),
        ("👍🏿", &[]),
        ("❤", &[5]),
        ("手机", &[6]),
        ("iphone手", &[6]),
        ("phone", &[]),
        ("1️⃣", &[6]),
    ] {
        assert_eq!(found(&fixture, &room, query).await, wanted, "{query:?}");
    }
}

async fn spellings_of_a_word_meet(fixture: Fixture) {
    let (room, ann) = room_of_one(&fixture).await;
    for body in [
        "Cafe\u{301} Stra\u{df}e",
        "ＦＵＬＬ ｗｉｄｔｈ ｶﾞﾗｽ",
        "\u{1112}\u{1161}\u{11ab}",
        "co\u{ad}operate \u{fb01}ne",
        "\u{39f}\u{394}\u{39f}\u{3a3}",
    ] {
        fixture.send(&room, &ann, body).await;
    }
    for (query, wanted) in [
        ("caf\u{e9}", &[1][..]),
        ("CAFE", &[1]),
        ("strasse", &[1]),
        ("full WIDTH", &[2]),
        ("ガラス", &[2]),
        ("カ\u{3099}ラス", &[2]),
        ("\u{d55c}", &[3]),
        ("cooperate", &[4]),
        ("fine", &[4]),
        ("\u{3bf}\u{3b4}\u{3bf}\u{3c2}", &[5]),
        ("\u{200b}", &[]),
    ] {
        assert_eq!(found(&fixture, &room, query).await, wanted, "{query:?}");
    }
}

async fn nothing_in_a_query_is_syntax(fixture: Fixture) {
    let (room, ann) = room_of_one(&fixture).await;
    fixture
        .send(&room, &ann, "salt or pepper not NEAR body")
        .await;
    fixture
        .send(&room, &ann, "say \"hello-world\" (twice)")
        .await;
    for (query, wanted) in [
        ("salt OR nothing", &[][..]),
        ("pepper NOT near", &[1]),
        ("body:salt", &[]),
        ("NEAR(salt pepper)", &[]),
        ("near body", &[1]),
        ("^salt", &[1]),
        ("salt*", &[1]),
        ("hello-world", &[2]),
        ("\"hello", &[2]),
        ("(twice)", &[2]),
        ("say\" OR \"salt", &[]),
        ("'", &[]),
        ("\"", &[]),
        ("*", &[]),
        ("salt *", &[1]),
        ("\0", &[]),
        ("sa\0lt", &[]),
    ] {
        assert_eq!(found(&fixture, &room, query).await, wanted, "{query:?}");
    }
}

async fn any_query_is_answered(fixture: Fixture) {
    let (room, ann) = room_of_one(&fixture).await;
    fixture.send(&room, &ann, "some words").await;
    let queries = prop_oneof![
        any::<String>(),
        proptest::collection::vec(
            proptest::sample::select(vec![
                "\"", "'", "*", "(", ")", "AND", "OR", "NOT", "NEAR", "+", "-", ":", "^", "{", "}",
                ",", " ", "\0", "\\", "some", "wor", "body", "é", "\u{300}", "東",
            ]),
            0..40
        )
        .prop_map(|parts| parts.concat()),
    ];
    let mut runner = TestRunner::new(Config::default());
    let queries = (0..500).map(|_| queries.new_tree(&mut runner).unwrap().current());
    let ask = async |query: String| {
        let (found, users, rooms) = tokio::join!(
            fixture.store.search(&room, &query, None, 10, None),
            fixture.store.find_users(&query, None, 10),
            fixture.store.public_rooms(Some(&query), None, 10, None),
        );
        assert!(found.is_ok(), "{query:?}: {found:?}");
        assert!(users.is_ok(), "{query:?}: {users:?}");
        assert!(rooms.is_ok(), "{query:?}: {rooms:?}");
    };
    let asked = stream::iter(queries).map(ask).buffer_unordered(10);
    asked.collect::<()>().await;
}

async fn what_is_found_is_the_present_text(fixture: Fixture) {
    let (room, ann) = room_of_one(&fixture).await;
    fixture.send(&room, &ann, "old words").await;
    fixture.send(&room, &ann, "other words").await;
    fixture.react(&room, &ann, 2, "👍", true).await.unwrap();
    fixture.edit(&room, &ann, 1, "new words").await.unwrap();
    assert_eq!(found(&fixture, &room, "old").await, NOTHING);
    assert_eq!(found(&fixture, &room, "new").await, [1]);
    fixture.delete(&room, &ann, 1).await.unwrap();
    assert_eq!(found(&fixture, &room, "new").await, NOTHING);
    assert_eq!(found(&fixture, &room, "words").await, [2]);
    let page = fixture
        .store
        .search(&room, "words", None, 10, Some(&ann))
        .await
        .unwrap();
    assert_eq!(reactions(&page.items[0]), "👍1*");
    // An edit in the same group as the message.
    let (edited, sent) = tokio::join!(
        async {
            let sent = fixture
                .append(&room, &ann, crate::send("draft"))
                .await
                .unwrap();
            fixture
                .edit(&room, &ann, sent.event.seq, "final")
                .await
                .unwrap()
        },
        fixture.send(&room, &ann, "meanwhile"),
    );
    assert_eq!(found(&fixture, &room, "draft").await, NOTHING);
    assert_eq!(
        found(&fixture, &room, "final").await,
        [crate::message(edited).seq]
    );
    assert_eq!(found(&fixture, &room, "meanwhile").await, [sent.seq]);
    let fixture = fixture.reopened().await;
    assert_eq!(found(&fixture, &room, "new").await, NOTHING);
    assert_eq!(found(&fixture, &room, "other").await, [2]);
}

async fn a_search_is_of_one_room_and_bounded(fixture: Fixture) {
    let (room, ann) = room_of_one(&fixture).await;
    let other = fixture.room(RoomKind::Public, &[&ann]).await;
    for _ in 0..5 {
        fixture.send(&room, &ann, "here words").await;
        fixture.send(&other, &ann, "there words").await;
    }
    assert_eq!(found(&fixture, &room, "words").await, [5, 4, 3, 2, 1]);
    assert_eq!(found(&fixture, &room, "there").await, NOTHING);
    let page = fixture
        .store
        .search(&other, "words", None, 2, None)
        .await
        .unwrap();
    let seqs: Vec<u64> = page.items.iter().map(|message| message.seq).collect();
    assert_eq!((seqs.as_slice(), page.has_more), (&[5, 4][..], true));
    assert!(page.items.iter().all(|message| message.room_id == other));
}

/// The tables as they were before the indexes held what the crate `text` makes of names and messages.
#[tokio::test]
async fn an_older_database_is_opened_and_its_indexes_made_anew() {
    let fixture = Fixture::embedded().await;
    let (room, ann) = room_of_one(&fixture).await;
    fixture
        .store
        .rename_room(&room, "上海广场".to_owned())
        .await
        .unwrap();
    fixture.send(&room, &ann, "我家在上海东边").await;
    fixture.send(&room, &ann, "gone").await;
    fixture.delete(&room, &ann, 2).await.unwrap();
    fixture.store.close().await;
    let path = fixture.directory().join("messages.db");
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute_batch(
            "DROP TABLE messages_index;
             DROP TABLE users_index;
             DROP TABLE rooms_index;
             DROP TABLE user_name_pieces;
             DROP TABLE room_name_pieces;
             CREATE VIRTUAL TABLE messages_index USING fts5 (
                 body, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
             );
             CREATE VIRTUAL TABLE users_index USING fts5 (
                 username, display_name, content = '', contentless_delete = 1,
                 tokenize = 'trigram remove_diacritics 1'
             );
             CREATE VIRTUAL TABLE rooms_index USING fts5 (
                 name, content = '', contentless_delete = 1, tokenize = 'trigram remove_diacritics 1'
             );
             INSERT INTO messages_index (rowid, body) SELECT entry, body FROM messages;
             ALTER TABLE users ADD COLUMN display_name_key TEXT;
             ALTER TABLE rooms ADD COLUMN name_key TEXT;
             CREATE INDEX users_by_display_name ON users (display_name_key);
             CREATE INDEX public_rooms_by_name ON rooms (name_key);
             ALTER TABLE users DROP COLUMN sign_in_version;
             ALTER TABLE sessions DROP COLUMN sign_in_version;
             ALTER TABLE users DROP COLUMN external_claims_at;
             ALTER TABLE users DROP COLUMN external_valid_from;
             DROP TABLE api_keys;
             ALTER TABLE messages DROP COLUMN attachments;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(database);
    let fixture = fixture.reopened().await;
    assert_eq!(found(&fixture, &room, "上海").await, [1]);
    assert_eq!(found(&fixture, &room, "gone").await, NOTHING);
    let rooms = fixture.store.public_rooms(Some("广场"), None, 10, None);
    assert_eq!(rooms.await.unwrap().items.len(), 1);
    for query in ["a", "ann"] {
        let users = fixture.store.find_users(query, None, 10).await.unwrap();
        assert_eq!(users.items[0].id, ann);
    }
    fixture.edit(&room, &ann, 1, "in 北京").await.unwrap();
    assert_eq!(found(&fixture, &room, "上海").await, NOTHING);
    assert_eq!(found(&fixture, &room, "北京").await, [1]);
    let fixture = fixture.reopened().await;
    assert_eq!(found(&fixture, &room, "北京").await, [1]);
}
