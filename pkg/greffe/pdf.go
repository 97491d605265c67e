package greffe

// PDF is what a PDF file says about itself. Nothing in it was verified but the
// number of pages, which were counted.
type PDF struct {
	Pages      int    `json:"pages,omitempty"`
	Version    string `json:"version,omitempty"` // "1.7"
	PDFA       string `json:"pdfa,omitempty"`    // part and level of PDF/A that it claims: "1B"; empty without a claim
	Encrypted  bool   `json:"encrypted,omitempty"`
	Signatures int    `json:"signatures,omitempty"` // electronic signatures, time stamps included
	Title      string `json:"title,omitempty"`      // at most 200 characters; may name a patient
}
