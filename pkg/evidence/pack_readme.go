package evidence

import (
	"fmt"
	"strings"
)

// readme writes LISEZMOI.txt. Every line that begins with four blanks is a command to be
// typed in the folder where the pack was unpacked; a test runs them.
func readme(r *Record) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("PACK DE PREUVE GREFFE (format %s)", PackFormat)
	p("")
	p("Ce dossier contient des documents de santé : protégez-le comme un dossier médical.")
	p("Il prouve, sans Greffe et sans l’établissement qui l’a fait, ce que disent preuve.pdf")
	p("et preuve.json. Il faut pour cela les programmes sha256sum et openssl (version 3), et :")
	p("  - la clé publique du journal, demandée à l’établissement par une autre voie que ce pack ;")
	p("  - si le pack a des jetons d’horodatage (.tsr), le certificat de l’autorité qui les a")
	p("   signés, demandé à elle ou pris dans la liste de confiance européenne : ca.pem ci-dessous.")
	p("")
	p("Ce que contient le pack")
	p("  objects/       les messages et les documents, octet par octet comme ils ont été reçus")
	p("  manifests/     ce que contenait chaque message : parties, empreintes, constats")
	p("  journal/       les lignes du journal qui en parlent, leurs preuves, les points de contrôle")
	p("                 signés du journal (.checkpoint) et les horodatages (.stamp et .tsr)")
	p("  keys/          les clés publiques qui ont signé ; certificates/ : les certificats d’horodatage")
	p("  SHA256SUMS     l’empreinte de chaque fichier ; SHA256SUMS.note la signe")
	p("")
	p("Les lignes qui commencent par exactement quatre blancs sont des commandes, à taper dans")
	p("ce dossier une fois le ZIP décompressé (sh, sous Linux ou macOS).")
	p("")
	p("1. Aucun fichier n’a changé : chaque ligne doit finir par OK (ou « Réussi »).")
	p("")
	p("    sha256sum --check --strict SHA256SUMS")
	p("")
	p("2. La liste des empreintes est signée par la clé du journal. Réponses attendues :")
	p("   « Signature Verified Successfully », puis OK.")
	p("")
	key := "0123abcd"
	if len(r.Checkpoints) > 0 {
		key = r.Checkpoints[len(r.Checkpoints)-1].Keys[0]
	}
	verify := func(file, key string) {
		p("    sed '/^$/,$d' %s > texte", file)
		p("    sed -n 's/^— [^ ]* //p' %s | openssl base64 -d -A | tail -c 64 > signature", file)
		p("    openssl pkeyutl -verify -pubin -inkey keys/%s.pem -rawin -in texte -sigfile signature", key)
	}
	verify(noteName, key)
	p("    tail -n 1 texte | sha256sum --check")
	p("")
	p("   keys/%s.pem doit être la clé que l’établissement vous a remise : la même, sur une", key)
	p("   ligne, est dans keys/%s.pub.", key)
	p("")
	p("3. Les fichiers joints sont ceux que nomment les manifestes, et le journal nomme les")
	p("   manifestes : chaque ligne doit finir par « conforme ».")
	p("")
	p("    for f in $(find objects -type f); do")
	p("    s=$(sha256sum < $f | cut -c 1-64)")
	p("    grep -q $s manifests/*.json && echo $f : conforme || { echo $f : DIFFERENT; false; }")
	p("    done")
	p("    for f in manifests/*.json; do")
	p("    s=$(sha256sum < $f | cut -c 1-64)")
	p("    grep '\"action\":\"archived\"' journal/entries.jsonl | grep -q $s && echo $f : conforme || { echo $f : DIFFERENT; false; }")
	p("    done")
	p("")
	p("4. Chaque ligne du journal est dans l’arbre dont la racine est signée (RFC 6962, SHA-256).")
	p("   Pour une ligne, ici la dernière du pack : les deux textes affichés doivent être les mêmes.")
	p("   Pour une autre ligne, remplacez le numéro n.")
	p("")
	p("    n=$(sed -n 's/^entry \\([0-9]*\\) .*/\\1/p' journal/proofs.txt | tail -n 1)")
	p("    c=$(sed -n \"s/^entry $n //p\" journal/proofs.txt)")
	p("    { printf '\\000'; grep \"^{\\\"seq\\\":$n,\" journal/entries.jsonl | tr -d '\\n'; } | openssl dgst -sha256 -binary > h")
	p("    sed -n \"/^entry $n /,/^$/p\" journal/proofs.txt | grep '^[LR] ' | while read cote p; do")
	p("    echo $p | openssl base64 -d -A > s")
	p("    if [ $cote = L ]; then { printf '\\001'; cat s h; }; else { printf '\\001'; cat h s; }; fi | openssl dgst -sha256 -binary > t")
	p("    mv t h")
	p("    done")
	p("    openssl base64 -A < h; echo")
	p("    sed -n 3p $c")
	p("    test \"$(openssl base64 -A < h)\" = \"$(sed -n 3p $c)\"")
	p("")
	p("5. Les points de contrôle sont signés par la même clé. Réponse attendue :")
	p("   « Signature Verified Successfully ».")
	p("")
	for i, c := range r.Checkpoints {
		if i == 3 && len(r.Checkpoints) > 6 {
			p("   (et de même pour les %d autres fichiers .checkpoint)", len(r.Checkpoints)-i)
			break
		}
		k := key
		if len(c.Keys) > 0 {
			k = c.Keys[0]
		}
		verify(c.File, k)
	}
	p("")
	p("6. Les horodatages sont d’une autorité tierce. Réponses attendues : « conforme », puis")
	p("   « Verification: OK » ; la date certaine est celle que montre la dernière commande.")
	p("")
	if len(r.Stamps) == 0 {
		p("   Ce pack n’a pas d’horodatage : les dates sont celles de l’horloge de l’établissement.")
	}
	for i, s := range r.Stamps {
		if i == 3 && len(r.Stamps) > 6 {
			p("   (et de même pour les %d autres fichiers .tsr)", len(r.Stamps)-i)
			break
		}
		stamp := strings.TrimSuffix(s.File, KindToken) + KindStamp
		p("    grep -q $(sha256sum < %s | cut -c 1-64) %s && echo conforme", s.Checkpoint, stamp)
		p("    openssl ts -verify -data %s -in %s -CAfile ca.pem", stamp, s.File)
		p("    openssl ts -reply -in %s -text", s.File)
	}
	p("")
	p("Avec le programme Greffe, sans configuration ni réseau, tout cela et davantage (la structure")
	p("du ZIP, la cohérence des points de contrôle entre eux, les chaînes de certificats) :")
	p("  greffe verify --pack PACK.zip --key CLE.pub --tsa-ca ca.pem")
	p("")
	p("CE QUE CE PACK PROUVE")
	for _, s := range proves {
		p("%s", fill("- "+s))
	}
	p("")
	p("CE QU’IL NE PROUVE PAS")
	for _, s := range provesNot {
		p("%s", fill("- "+s))
	}
	return b.String()
}

// fill breaks a text into lines of at most 90 characters, the later ones indented by two.
func fill(s string) string {
	var b strings.Builder
	n := 0
	for i, word := range strings.Fields(s) {
		w := len([]rune(word))
		switch {
		case i > 0 && n+1+w > 90:
			b.WriteString("\n  ")
			n = 2
		case i > 0:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += w
	}
	return b.String()
}
