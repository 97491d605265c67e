package greffe

// Extension is the usual ending of the name of a file of a media type, ".bin" for one
// that Greffe has no name for.
func Extension(media string) string {
	switch media {
	case "application/pdf":
		return ".pdf"
	case "application/xml", "text/xml", "application/hl7-v3+xml":
		return ".xml"
	case "application/zip":
		return ".zip"
	case "image/jpeg":
		return ".jpg"
	case "image/png":
		return ".png"
	case "text/plain", "text/x-uuencode":
		return ".txt"
	}
	return ".bin"
}
