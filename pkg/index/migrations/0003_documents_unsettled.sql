-- The documents that a machine still has to settle: few, among all there ever were.
CREATE INDEX documents_unsettled ON documents (id) WHERE state IN ('archivé', 'en attente du DI');
