package console

import "net/http"

type helpPage struct{ States []stateWords }

// showHelp shows the help page.
func (c *Console) showHelp(w http.ResponseWriter, r *http.Request, v *visit) error {
	return c.render(w, r, v, http.StatusOK, "aide", page{Title: "Aide", Nav: "aide", Data: helpPage{States: statesShown}})
}
