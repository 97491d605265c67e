package parser

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"greffe/pkg/cda"
	"greffe/pkg/greffe"
	"greffe/pkg/xsd"
)

// checkSchema returns what the XML schema says about a CDA, when schemas are configured.
// That it could not be checked is told once per message; the log says why.
func (r *reading) checkSchema(it *item) []greffe.Finding {
	if r.p.cfg.Schemas == nil || hasRule(r.findings, xsd.RuleUnchecked.ID) {
		return nil
	}
	ctx, cancel := context.WithDeadline(r.ctx, r.deadline)
	defer cancel()
	findings, err := r.p.cfg.Schemas.Check(ctx, func(w io.Writer) error {
		return cda.WritePlain(w, it.content.reader())
	})
	_, fault := errors.AsType[*cda.SyntaxError](err)
	switch {
	case err == nil:
		return placed(it.Path, findings)
	case fault, errors.Is(err, cda.ErrNotCDA): // said by the reader of the document
	case r.ctx.Err() != nil:
	default:
		r.find(xsd.RuleUnchecked)
		r.p.log.Warn("document not checked against the schema", slog.String("message", string(r.id)), slog.Any("error", err))
	}
	return nil
}
