-- An erasure is asked and confirmed as an elimination is; kind tells them apart: empty,
-- or "erasure".
ALTER TABLE eliminations ADD COLUMN kind {{text}} NOT NULL DEFAULT '';
