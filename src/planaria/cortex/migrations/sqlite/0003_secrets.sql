-- Keys of services and the like, sealed with the garden's master key; the journal's events never hold them.
CREATE TABLE secrets (
    name   TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
