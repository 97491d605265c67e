package parser

import (
	"bytes"
	"encoding/binary"
	std "image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/eml"
	"greffe/pkg/greffe"
)

// picturesOf draws a picture of a size in a format.
func drawn(t testing.TB, format string, w, h int) []byte {
	t.Helper()
	img := std.NewPaletted(std.Rect(0, 0, w, h), color.Palette{color.White, color.Black})
	var b bytes.Buffer
	var err error
	switch format {
	case "png":
		err = png.Encode(&b, img)
	case "gif":
		err = gif.Encode(&b, img, nil)
	default:
		err = jpeg.Encode(&b, img, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPicturesThatMayBeDocumentsAreShown: a logo is ignored, a picture that somebody
// took or scanned never is, wherever the mail program put it.
func TestPicturesThatMayBeDocumentsAreShown(t *testing.T) {
	t.Parallel()
	photo := drawn(t, "jpeg", 640, 480)
	exif := slices.Concat(drawn(t, "jpeg", 100, 80)[:2], []byte("\xff\xe1\x00\x08Exif\x00\x00"), drawn(t, "jpeg", 100, 80)[2:])
	for name, c := range map[string]struct {
		data   []byte
		leaf   eml.Leaf
		reason string // a piece of it; empty: the picture is shown
	}{
		"logo of the page":           {drawn(t, "png", 180, 60), eml.Leaf{Shown: true, ContentID: "x", Disposition: "inline"}, "logo"},
		"banner of the page":         {drawn(t, "png", 800, 100), eml.Leaf{Shown: true, ContentID: "x"}, "logo"},
		"drawing of the page":        {drawn(t, "png", 290, 290), eml.Leaf{InRelated: true, ContentID: "x", Disposition: "attachment"}, "logo"},
		"photograph of the page":     {drawn(t, "jpeg", 290, 290), eml.Leaf{Shown: true, InRelated: true, ContentID: "x"}, ""},
		"screenshot in the page":     {drawn(t, "png", 1024, 768), eml.Leaf{Shown: true, InRelated: true, ContentID: "image001.png@01"}, ""},
		"tracing in the page":        {drawn(t, "png", 1200, 250), eml.Leaf{Shown: true, InRelated: true, ContentID: "x"}, ""},
		"tracking pixel":             {drawn(t, "gif", 1, 1), eml.Leaf{Disposition: "attachment"}, "pixel de suivi (1 × 1)"},
		"inline photograph":          {photo, eml.Leaf{Disposition: "inline", Name: "IMG_0042.jpg"}, ""},
		"inline photograph with id":  {photo, eml.Leaf{Disposition: "inline", ContentID: "x"}, ""},
		"small one of a telephone":   {exif, eml.Leaf{Shown: true, ContentID: "x"}, ""},
		"attached logo":              {drawn(t, "png", 180, 60), eml.Leaf{Disposition: "attachment", Name: "logo.png"}, ""},
		"logo without a page":        {drawn(t, "png", 120, 60), eml.Leaf{Disposition: "inline"}, "logo"},
		"neither inline nor named":   {drawn(t, "png", 120, 60), eml.Leaf{}, ""},
		"scan":                       {[]byte("II*\x00..."), eml.Leaf{Shown: true, ContentID: "x"}, ""},
		"size not known":             {append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 3000)...), eml.Leaf{Shown: true, ContentID: "x"}, "logo ou image de présentation de 3 Ko"},
		"size not known, large":      {append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 30000)...), eml.Leaf{Shown: true, ContentID: "x"}, ""},
		"bitmap":                     {append([]byte("BM\x36\x00\x0c\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00"), append(le(60), le(40)...)...), eml.Leaf{Shown: true, ContentID: "x"}, "logo"},
		"more pixels than there are": {append([]byte("BM\x36\x00\x0c\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00"), append(le(1<<31-1), le(1<<31-1)...)...), eml.Leaf{Shown: true, ContentID: "x"}, ""},
	} {
		it := &item{leaf: &c.leaf}
		it.Size = int64(len(c.data))
		it.typ = sniff(c.data, "", c.leaf.Name)
		it.Kind, it.Detected = it.typ.kind, it.typ.media
		it.seePicture(c.data)
		if it.Kind != greffe.PartImage {
			t.Errorf("%s: it is %s", name, it.Kind)
		}
		if got := it.decoration(); !strings.Contains(got, c.reason) || got != "" && c.reason == "" {
			t.Errorf("%s: %q, want %q", name, got, c.reason)
		}
	}
}

func le(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

func TestHeadersOfHPRIMAreHints(t *testing.T) {
	t.Parallel()
	medecins := "4711\r\nESSAI\r\nMA\xcbLLE\r\n1 rue des Essais\r\n\r\n75000 PARIS\r\n14/02/1985\r\n285022999907751\r\nD123\r\n20/11/2026\r\nLABO DES ESSAIS\r\nDr MARTEL\r\n\r\nGlyc\xe9mie : 5\r\n****FIN****\r\n"
	for name, c := range map[string]struct{ text, want string }{
		"médecins": {medecins, "ESSAI MAËLLE, né(e) le 14/02/1985, dossier D123, daté du 20/11/2026, envoyé par LABO DES ESSAIS, pour Dr MARTEL"},
		"santé": {"H|~^\\&|r.HPR||001~LABO DES ESSAIS||ORU|||002~CH||P|H2.2~C|202611200930\r\nP|1||||ESSAI~MAELLE||19850214|F\r\nOBR|1|||x\r\nP|2|||||AUTRE\r\n",
			"ESSAI MAELLE, né(e) le 14/02/1985, daté du 20/11/2026, envoyé par 001 LABO DES ESSAIS, pour 002 CH"},
		"other delimiters":       {"H|^~\\&|r||LABO^X\r\nP|1||7||ESSAI^M\r\n", "ESSAI M, dossier 7, envoyé par LABO X"},
		"no header":              {"Glycémie : 5\r\n****FIN****\r\n", ""},
		"other lines":            {strings.Repeat("une ligne de texte\r\n", 20) + "****FIN****\r\n", ""},
		"a line that never ends": {strings.Replace(medecins, "ESSAI", strings.Repeat("E", 9000), 1), strings.Repeat("E", 60) + "… MAËLLE, né(e) le 14/02/1985, dossier D123, daté du 20/11/2026, envoyé par LABO DES ESSAIS, pour Dr MARTEL"},
	} {
		raw := mail("", attachment{name: "r.hpr", media: "text/plain", data: []byte(c.text)})
		out := parse(t, quiet(), raw)
		got := ""
		for _, f := range out.Parts[1].Findings {
			if f.Rule == "parser.hprim-header" {
				got = strings.TrimSuffix(strings.SplitN(f.Text, " : ", 2)[1], ".")
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if len(out.Documents) != 1 || out.Documents[0].Verdict != greffe.VerdictHeld || !out.Documents[0].Patient.IsZero() {
			t.Errorf("%s: documents %+v", name, out.Documents)
		}
		if strings.Contains(got, "28502") {
			t.Errorf("%s: the social security number is shown", name)
		}
	}
}
