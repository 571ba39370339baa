PRAGMA application_id = 1349280110;
BEGIN TRANSACTION;
CREATE TABLE events (
    seq      INTEGER PRIMARY KEY,           -- the place in the journal, from 1, without gaps
    id       TEXT    NOT NULL UNIQUE,
    at       REAL    NOT NULL,              -- unix seconds, when the journal accepted it
    trace_id TEXT    NOT NULL,
    cause_id TEXT,
    node     TEXT    NOT NULL,
    process  TEXT    NOT NULL,
    session  TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    payload  TEXT    NOT NULL               -- a JSON object, secrets masked
) STRICT;
INSERT INTO "events" VALUES(1,'95293befc8f449c3be835bf39ade2d18',1.79529356544378805157e+09,'01M7ZXBMG317Y64JYKG5B4PBPZ',NULL,'garden','<garden.49>','rooms','room.opened','{"room":"garden"}');
INSERT INTO "events" VALUES(2,'01M7ZXBMGA02E5MZJNMAJTG8TT',1.79529356545021700859e+09,'01M7ZXBMGA02E5MZJNMAJTG8TS',NULL,'garden','<garden.92>','room:garden','room.joined','{"agent":"doer","host":true}');
INSERT INTO "events" VALUES(3,'01M7ZXBMGC4HVTMZ75TJ4CE16V',1.79529356545264244084e+09,'01M7ZXBMGC4HVTMZ75TJ4CE16T',NULL,'garden','workflows','workflows','workflow.schedule.set','{"workflow":"chores","cron":"0 0 1 1 *","zone":"UTC","at":1795293565.4526067}');
INSERT INTO "events" VALUES(4,'01M7ZXBMH2E8W4D29V0TVBKWPR.00000',1.79529356547476458554e+09,'01M7ZXBMH2E8W4D29V0TVBKWPS',NULL,'garden','workflows','run:01M7ZXBMH2E8W4D29V0TVBKWPR','workflow.run.started','{"at":1795293565.4746318,"run":"01M7ZXBMH2E8W4D29V0TVBKWPR","workflow":"chores","hash":"7b99993b702d157c","definition":{"name":"chores","steps":{"first":{"id":"first","tool":"deed.once","arguments":{"what":"first"},"routes":{"ok":"second","failed":"second"},"each":null,"retry":0,"backoff":1.0,"timeout":300.0,"max_visits":null},"second":{"id":"second","tool":"deed.again","arguments":{"what":"second"},"routes":{"ok":"end","failed":"fail"},"each":null,"retry":0,"backoff":1.0,"timeout":300.0,"max_visits":null}},"start":"first","schedule":{"cron":"0 0 1 1 *","first_run":"now"},"zone":"UTC","description":"Two deeds, one after the other, once and then every New Year.","inputs":{},"room":null},"trigger":"first run","arguments":{},"slot":1795293565.4746046}');
INSERT INTO "events" VALUES(5,'396d7eadec510c8387fbbc145017e8cf',1.79529356551428270335e+09,'396d7eadec510c8387fbbc145017e8cf',NULL,'garden','<garden.130>','room:garden','room.message','{"author":"ada","author_kind":"person","text":"do both","to":["doer"],"client_id":"ada\u0000question-1"}');
INSERT INTO "events" VALUES(6,'01M7ZXBMH2E8W4D29V0TVBKWPR.00001',1.79529356552452969554e+09,'01M7ZXBMH2E8W4D29V0TVBKWPS','01M7ZXBMH2E8W4D29V0TVBKWPR.00000','garden','run:01M7ZXBMH2E8W4D29V0TVBKWPR','run:01M7ZXBMH2E8W4D29V0TVBKWPR','workflow.step.started','{"at":1795293565.524226,"step":"first","visit":1,"items":null}');
INSERT INTO "events" VALUES(7,'ec05e5072837bc7d75d14a188f75b6f8',1.79529356552558159824e+09,'396d7eadec510c8387fbbc145017e8cf','396d7eadec510c8387fbbc145017e8cf','garden','<garden.153>','session:doer@garden','turn.started','{"message":"396d7eadec510c8387fbbc145017e8cf","author":"ada"}');
INSERT INTO "events" VALUES(8,'01M7ZXBMJR46T5NV6H8PYP1D26',1.79529356552838301663e+09,'01M7ZXBMH2E8W4D29V0TVBKWPS','01M7ZXBMH2E8W4D29V0TVBKWPR.00001','garden','<garden.165>','run:01M7ZXBMH2E8W4D29V0TVBKWPR','tool.started','{"call_id":"01M7ZXBMH2E8W4D29V0TVBKWPR/first/1/1","tool":"deed.once","arguments":{"what":"first"},"caller":"workflow:chores"}');
INSERT INTO "events" VALUES(9,'01M7ZXBMJT8PA47CYN04KHGKEZ',1.79529356553052496904e+09,'396d7eadec510c8387fbbc145017e8cf','396d7eadec510c8387fbbc145017e8cf','garden','<garden.175>','session:doer@garden','model.requested','{"turn":"396d7eadec510c8387fbbc145017e8cf","step":0,"provider":"far","model":"fake-large","messages":2,"tools":["deed.again","deed.once"]}');
INSERT INTO "events" VALUES(10,'01M7ZXBMK811ZGWY4ED34W2K91',1.79529356554455971715e+09,'396d7eadec510c8387fbbc145017e8cf','396d7eadec510c8387fbbc145017e8cf','garden','<garden.175>','session:doer@garden','model.responded','{"turn":"396d7eadec510c8387fbbc145017e8cf","step":0,"text":"","reasoning":"","tool_calls":[{"id":"call-1","name":"deed.once","arguments":{"what":"letter"},"vendor":null},{"id":"call-2","name":"deed.again","arguments":{"what":"look"},"vendor":null}],"usage":{"input_tokens":100,"output_tokens":20,"cached_tokens":0,"cache_write_tokens":0},"finish_reason":"tool_calls","model":"fake-large","provider":"far","cost_micro":null,"first_ms":8.293,"duration_ms":8.303}');
INSERT INTO "events" VALUES(11,'01M7ZXBMKA1N2VRSSYVNVF4FNB',1.79529356554625868797e+09,'396d7eadec510c8387fbbc145017e8cf','396d7eadec510c8387fbbc145017e8cf','garden','<garden.196>','session:doer@garden','tool.started','{"call_id":"396d7eadec510c8387fbbc145017e8cf/0/0","tool":"deed.once","arguments":{"what":"letter"},"caller":"agent:doer"}');
INSERT INTO "events" VALUES(12,'01M7ZXBMKA1N2VRSSYVNVF4FNC',1.79529356554642081263e+09,'396d7eadec510c8387fbbc145017e8cf','396d7eadec510c8387fbbc145017e8cf','garden','<garden.197>','session:doer@garden','tool.started','{"call_id":"396d7eadec510c8387fbbc145017e8cf/0/1","tool":"deed.again","arguments":{"what":"look"},"caller":"agent:doer"}');
INSERT INTO "events" VALUES(13,'01M7ZXBMKFBEMGMMKSKWYVQ0QQ',1.79529356555112123484e+09,'396d7eadec510c8387fbbc145017e8cf','396d7eadec510c8387fbbc145017e8cf','garden','<garden.197>','session:doer@garden','tool.finished','{"call_id":"396d7eadec510c8387fbbc145017e8cf/0/1","tool":"deed.again","arguments":{"what":"look"},"caller":"agent:doer","branch":"ok","duration_ms":0.593,"outcome":{"value":"did look again","text":null},"error":null,"retry":false}');
CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL) STRICT;
INSERT INTO "schema_migrations" VALUES(1,'events','2026-11-21T20:39:25.106Z');
CREATE INDEX events_by_session ON events (session);
CREATE INDEX events_by_kind    ON events (kind);
CREATE INDEX events_by_trace   ON events (trace_id);
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event is never changed'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event is never deleted'); END;
CREATE TRIGGER events_are_never_replaced BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE seq = NEW.seq) OR EXISTS (SELECT 1 FROM events WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event is never replaced'); END;
COMMIT;
