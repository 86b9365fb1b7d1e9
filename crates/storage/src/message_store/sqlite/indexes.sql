-- The indexes hold what the crate `text` makes of names and messages, so that they find the same as any other store's.

DROP TABLE messages_index;
DROP TABLE users_index;
DROP TABLE rooms_index;
DROP INDEX users_by_display_name;
DROP INDEX public_rooms_by_name;
ALTER TABLE users DROP COLUMN display_name_key;
ALTER TABLE rooms DROP COLUMN name_key;

-- rowid is `entry`: the messages of one room are one range of rowids. Each token begins with the number of its room, so
-- that a search, above all one for the beginning of a word, costs what its room holds and not what all rooms hold.
CREATE VIRTUAL TABLE messages_index USING fts5 (
    tokens, content = '', contentless_delete = 1, tokenize = 'ascii tokenchars ''_$+<=>|~'''
);

-- Three characters and more of folded names. rowid is `no`.
CREATE VIRTUAL TABLE users_index USING fts5 (
    username, display_name, content = '', contentless_delete = 1,
    tokenize = 'trigram case_sensitive 1'
);
CREATE VIRTUAL TABLE rooms_index USING fts5 (
    name, content = '', contentless_delete = 1, tokenize = 'trigram case_sensitive 1'
);

-- One and two characters of folded names: those at the beginning, and those that are words by themselves.
CREATE TABLE user_name_pieces (
    piece TEXT NOT NULL,
    no INTEGER NOT NULL,
    PRIMARY KEY (piece, no)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_name_pieces_by_user ON user_name_pieces (no);
CREATE TABLE room_name_pieces (
    piece TEXT NOT NULL,
    no INTEGER NOT NULL,
    PRIMARY KEY (piece, no)
) STRICT, WITHOUT ROWID;
CREATE INDEX room_name_pieces_by_room ON room_name_pieces (no);
