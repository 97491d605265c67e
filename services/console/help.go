package console

import "net/http"

type helpPage struct {
	States []stateWords
	Keys   []keyChoice // of the person; none when they are turned off
}

// showHelp shows the help page.
func (c *Console) showHelp(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := c.loadKeyboard(r.Context(), v.user.Login); err != nil {
		return err
	}
	p := helpPage{States: statesShown}
	if k := c.keyboardOf(r.Context()); !k.Off {
		p.Keys = k.list()
	}
	return c.render(w, r, v, http.StatusOK, "aide", page{Title: "Aide", Nav: "aide", Data: p})
}
