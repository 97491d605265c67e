package index

import (
	"time"

	"greffe/pkg/greffe"
)

const (
	insertKeys = `INSERT INTO document_keys (document_id, received_at, archived_at, dated_at, mailbox, folder, desk, tray, state, doctype, format, sender_key) VALUES `

	insertSenderWords = `INSERT INTO sender_words (word, sender_key) VALUES `
)

// keyRow is the row of document_keys of the i-th document (from 0) of a message that was
// archived and nothing else.
func keyRow(p *greffe.Parsed, i int, at time.Time) []any {
	d := &p.Documents[i]
	mailbox, folder := clean(p.Received.Origin.Mailbox, 320), clean(p.Received.Origin.Folder, 1000)
	return []any{string(greffe.NewDocumentID(p.Received.ID, i+1)), millis(p.Received.At), millis(at), millis(dayOf(d.Created)),
		mailbox, folder, mailbox, folder, string(greffe.StateArchived), clean(d.Type.Code, 60), string(d.Format), SenderKey(&p.Message)}
}

// dayOf returns the day of a time as HL7 writes it, at midnight UTC: the day that its
// author wrote, whatever the zone. Zero for what has no day.
func dayOf(hl7 string) time.Time {
	if len(hl7) < 8 {
		return time.Time{}
	}
	t, err := time.Parse("20060102", hl7[:8])
	if err != nil || t.Year() < 1800 {
		return time.Time{}
	}
	return t
}

// senderWordRows are the words that the sender of a message is found by.
func senderWordRows(m *greffe.Message) [][]any {
	key := SenderKey(m)
	if key == "" {
		return nil
	}
	var rows [][]any
	for _, w := range searchWords(m.From[0].Address, m.From[0].Name) {
		rows = append(rows, []any{w, key})
	}
	return rows[:min(len(rows), 30)]
}

// insertSender remembers who sends.
func (t *tx) insertSender(m *greffe.Message) error {
	return t.insert(insertSenderWords, senderWordRows(m), ` ON CONFLICT DO NOTHING`)
}

// refreshKeys writes what the documents of a message are searched by, from what is known
// of them now.
func (t *tx) refreshKeys(d *Detail) error {
	for i := range d.Parsed.Documents {
		if i >= len(d.Documents) {
			break
		}
		row := keyRow(d.Parsed, i, d.Documents[i].ArchivedAt)
		row[6], row[7], row[8] = clean(d.Queue.Mailbox, 320), clean(d.Queue.Folder, 1000), string(d.Documents[i].State)
		if _, err := t.exec(`DELETE FROM document_keys WHERE document_id = $1`, row[0]); err != nil {
			return err
		}
		if err := t.insert(insertKeys, [][]any{row}, ``); err != nil {
			return err
		}
	}
	return t.insertSender(&d.Parsed.Message)
}
