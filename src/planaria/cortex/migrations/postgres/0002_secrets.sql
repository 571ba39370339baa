-- Keys of services and the like, sealed with the garden's master key; the journal's events never hold them.
CREATE TABLE secrets (
    name   bytea PRIMARY KEY,
    sealed bytea NOT NULL
);
