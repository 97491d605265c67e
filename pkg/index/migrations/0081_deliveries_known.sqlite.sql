INSERT INTO deliveries (document_id, di, state, at, due_at, tries, attempt, outcome_json)
    SELECT id, COALESCE(json_extract(outcome_json, '$.di'), ''), state, decided_at,
        CASE WHEN state = 'en attente du DI' THEN decided_at ELSE 0 END, 0, '', outcome_json
    FROM documents WHERE outcome_json <> '';
