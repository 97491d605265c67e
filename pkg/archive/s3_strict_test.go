package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// strictS3 is an S3 server in memory with one bucket under Object Lock. It
// refuses what AWS refuses there and lenient servers let pass: a put without
// checksum or Content-MD5, removing or shortening what is locked. It speaks TLS,
// so that bodies come as they are.
type strictS3 struct {
	puts    atomic.Int64 // uploads whose body was read
	mu      sync.Mutex
	lie     string // what it does wrong
	rule    string // default retention of the bucket, XML
	objects map[string][]s3Version
	dir     string     // large bodies
	files   []*os.File // in dir
}

type s3Version struct {
	id     string // empty: delete marker
	n      int
	body   io.ReaderAt
	size   int64
	sum    string // base64
	mode   string
	until  time.Time
	held   bool
	stored time.Time
}

const strictBucket, strictKey = "strict", "strict-key"

func newStrictS3(t testing.TB) (S3Config, *strictS3) {
	t.Helper()
	s := &strictS3{objects: make(map[string][]s3Version), dir: t.TempDir()}
	srv := httptest.NewUnstartedServer(s)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are wanted
	srv.StartTLS()
	t.Cleanup(func() {
		srv.Close()
		for _, f := range s.files {
			f.Close()
		}
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return S3Config{
		Endpoint: srv.URL, Bucket: strictBucket, Region: "us-east-1", CA: ca,
		AccessKey: secret(t, strictKey), SecretKey: secret(t, "strict-secret"),
		Mode: ModeCompliance, Retention: time.Minute,
	}, s
}

func (s *strictS3) count(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.objects[key])
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

func (s *strictS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	s.mu.Lock()
	lie := s.lie
	s.mu.Unlock()
	switch {
	case lie == "500":
		refuse(w, 500, "InternalError")
	case !strings.Contains(r.Header.Get("Authorization"), "Credential="+strictKey+"/"):
		refuse(w, 403, "InvalidAccessKeyId")
	case bucket != strictBucket:
		refuse(w, 404, "NoSuchBucket")
	case key == "" && q.Has("versions"):
		s.list(w, q.Get("prefix"), q.Get("key-marker"), q.Get("version-id-marker"))
	case key == "" && q.Has("versioning"):
		fmt.Fprintf(w, "<VersioningConfiguration><Status>%s</Status></VersioningConfiguration>", map[bool]string{true: "Suspended", false: "Enabled"}[lie == "no versioning"])
	case key == "" && q.Has("object-lock"):
		if lie == "no lock" {
			refuse(w, 404, "ObjectLockConfigurationNotFoundError")
			return
		}
		s.config(w, r)
	case key == "" && r.Method == http.MethodHead:
	case q.Has("legal-hold"):
		s.hold(w, r, key, lie)
	case q.Has("retention"):
		s.retention(w, r, key, lie)
	case r.Method == http.MethodPut:
		s.put(w, r, key, lie)
	case r.Method == http.MethodDelete:
		s.remove(w, key, q.Get("versionId"), bypasses(r), lie)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.get(w, r, key, q.Get("versionId"), lie)
	default:
		refuse(w, 405, "MethodNotAllowed")
	}
}

// config answers or takes the setting of Object Lock, with the rule that the client sends.
func (s *strictS3) config(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method != http.MethodPut {
		fmt.Fprintf(w, "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>%s</ObjectLockConfiguration>", s.rule)
		return
	}
	var ask struct {
		Rule struct {
			Inner string `xml:",innerxml"`
		}
	}
	if err := xml.NewDecoder(r.Body).Decode(&ask); err != nil {
		refuse(w, 400, "MalformedXML")
		return
	}
	s.rule = "<Rule>" + ask.Rule.Inner + "</Rule>"
}

func (s *strictS3) put(w http.ResponseWriter, r *http.Request, key, lie string) {
	sum := r.Header.Get("X-Amz-Checksum-Sha256")
	if sum == "" && r.Header.Get("Content-Md5") == "" {
		refuse(w, 400, "InvalidRequest") // AWS: "Content-MD5 OR x-amz-checksum- HTTP header is required"
		return
	}
	body, got, err := s.take(r)
	if err != nil {
		refuse(w, 400, "IncompleteBody")
		return
	}
	s.puts.Add(1)
	real := base64.StdEncoding.EncodeToString(got)
	if sum != "" && sum != real && lie != "any checksum" {
		refuse(w, 400, "BadDigest")
		return
	}
	v := s3Version{body: body, size: r.ContentLength, sum: real, stored: time.Now().UTC()}
	if v.mode = r.Header.Get("X-Amz-Object-Lock-Mode"); v.mode != "" {
		v.until, err = time.Parse(time.RFC3339, r.Header.Get("X-Amz-Object-Lock-Retain-Until-Date"))
		if err != nil || !v.until.After(time.Now()) {
			refuse(w, 400, "InvalidArgument")
			return
		}
	}
	if lie == "forgets lock" {
		v.mode, v.until = "", time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.objects[key]
	// Like AWS: a delete marker makes the key absent.
	if r.Header.Get("If-None-Match") == "*" && len(all) > 0 && all[len(all)-1].id != "" && lie != "overwrites" {
		refuse(w, 412, "PreconditionFailed")
		return
	}
	v.n = len(all)
	v.id = fmt.Sprintf("v%d-%x", v.n, got[:4])
	s.objects[key] = append(all, v)
	if lie == "loses answers" {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Amz-Version-Id", v.id)
	w.Header().Set("X-Amz-Checksum-Sha256", v.sum)
	w.Header().Set("ETag", `"`+hex.EncodeToString(got[:16])+`"`)
}

// take reads a body, a large one into a file, so that tests can look at the
// memory that the driver takes.
func (s *strictS3) take(r *http.Request) (io.ReaderAt, []byte, error) {
	h := sha256.New()
	in := io.TeeReader(r.Body, h)
	if r.ContentLength <= 1<<20 {
		b, err := io.ReadAll(in)
		if err == nil && int64(len(b)) != r.ContentLength {
			err = io.ErrUnexpectedEOF
		}
		return bytes.NewReader(b), h.Sum(nil), err
	}
	f, err := os.CreateTemp(s.dir, "")
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	s.files = append(s.files, f)
	s.mu.Unlock()
	n, err := io.Copy(f, in)
	if err == nil && n != r.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	return f, h.Sum(nil), err
}

// find returns the version called id, or the newest.
func (s *strictS3) find(key, id string) (*s3Version, bool) {
	all := s.objects[key]
	for i := len(all) - 1; i >= 0; i-- {
		if id == "" || all[i].id == id {
			return &all[i], true
		}
	}
	return nil, false
}

func (s *strictS3) get(w http.ResponseWriter, r *http.Request, key, id, lie string) {
	s.mu.Lock()
	v, ok := s.find(key, id)
	var got s3Version
	if ok {
		got = *v
	}
	s.mu.Unlock()
	if !ok || got.id == "" {
		if ok {
			w.Header().Set("X-Amz-Delete-Marker", "true")
		}
		refuse(w, 404, "NoSuchKey")
		return
	}
	h := w.Header()
	h.Set("X-Amz-Version-Id", got.id)
	h.Set("Last-Modified", got.stored.Format(http.TimeFormat))
	h.Set("ETag", `"`+got.id+`"`)
	if r.Header.Get("X-Amz-Checksum-Mode") != "" {
		h.Set("X-Amz-Checksum-Sha256", got.sum)
	}
	if got.mode != "" {
		h.Set("X-Amz-Object-Lock-Mode", got.mode)
		h.Set("X-Amz-Object-Lock-Retain-Until-Date", got.until.Format(time.RFC3339))
	}
	if got.held {
		h.Set("X-Amz-Object-Lock-Legal-Hold", "ON")
	}
	from, status := int64(0), http.StatusOK
	if first, _, ok := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"); ok {
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil || n >= got.size {
			refuse(w, 416, "InvalidRange")
			return
		}
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", n, got.size-1, got.size))
		from, status = n, http.StatusPartialContent
	}
	h.Set("Content-Length", strconv.FormatInt(got.size-from, 10))
	w.WriteHeader(status)
	switch {
	case r.Method == http.MethodHead:
	case lie == "cuts reads":
		io.Copy(w, io.NewSectionReader(got.body, from, (got.size-from)/2))
		panic(http.ErrAbortHandler)
	default:
		io.Copy(w, io.NewSectionReader(got.body, from, got.size-from))
	}
}

// bypasses reports whether a request uses the right to lift governance.
func bypasses(r *http.Request) bool {
	return r.Header.Get("X-Amz-Bypass-Governance-Retention") == "true"
}

func (s *strictS3) remove(w http.ResponseWriter, key, id string, bypass bool, lie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == "" {
		s.objects[key] = append(s.objects[key], s3Version{stored: time.Now().UTC()})
		w.WriteHeader(http.StatusNoContent)
		return
	}
	v, ok := s.find(key, id)
	locked := ok && v.until.After(time.Now()) && (v.mode != "GOVERNANCE" || !bypass)
	if ok && (locked || v.held) && lie != "deletes" {
		refuse(w, 403, "AccessDenied")
		return
	}
	s.objects[key] = slices.DeleteFunc(s.objects[key], func(v s3Version) bool { return v.id == id })
	w.WriteHeader(http.StatusNoContent)
}

func (s *strictS3) retention(w http.ResponseWriter, r *http.Request, key, lie string) {
	var ask struct {
		Mode            string
		RetainUntilDate time.Time
	}
	if r.Header.Get("Content-Md5") == "" && r.Header.Get("X-Amz-Checksum-Sha256") == "" {
		refuse(w, 400, "InvalidRequest")
		return
	}
	if err := xml.NewDecoder(r.Body).Decode(&ask); err != nil {
		refuse(w, 400, "MalformedXML")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.find(key, r.URL.Query().Get("versionId"))
	weaker := ok && v.mode != "" && (ask.RetainUntilDate.Before(v.until) || (ask.Mode != v.mode && v.mode == "COMPLIANCE"))
	switch {
	case !ok || v.id == "":
		refuse(w, 404, "NoSuchKey")
	case weaker && (v.mode != "GOVERNANCE" || !bypasses(r)) && lie != "shortens":
		refuse(w, 403, "AccessDenied")
	case !ask.RetainUntilDate.After(time.Now()):
		refuse(w, 400, "InvalidArgument") // AWS: "The retain until date must be in the future!"
	case lie == "forgets extension" && !v.until.IsZero():
	default:
		v.mode, v.until = ask.Mode, ask.RetainUntilDate
	}
	if lie == "loses answers" {
		panic(http.ErrAbortHandler)
	}
}

func (s *strictS3) hold(w http.ResponseWriter, r *http.Request, key, lie string) {
	var ask struct{ Status string }
	if r.Header.Get("Content-Md5") == "" && r.Header.Get("X-Amz-Checksum-Sha256") == "" {
		refuse(w, 400, "InvalidRequest")
		return
	}
	if err := xml.NewDecoder(r.Body).Decode(&ask); err != nil || (ask.Status != "ON" && ask.Status != "OFF") {
		refuse(w, 400, "MalformedXML")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.find(key, r.URL.Query().Get("versionId"))
	switch {
	case !ok || v.id == "":
		refuse(w, 404, "NoSuchKey")
	case lie == "no holds":
		refuse(w, 501, "NotImplemented")
	default:
		v.held = ask.Status == "ON"
	}
}

// list gives at most 5 versions an answer, so that paging is used.
func (s *strictS3) list(w http.ResponseWriter, prefix, afterKey, afterVersion string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for k := range s.objects {
		if strings.HasPrefix(k, prefix) && k >= afterKey {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var out strings.Builder
	n, key, id, more := 0, "", "", false
	after := func(k string, i int) bool { // k's i-th version comes after the marker
		if k > afterKey {
			return true
		}
		at := slices.IndexFunc(s.objects[k], func(v s3Version) bool { return afterVersion == "v"+strconv.Itoa(v.n) })
		return afterVersion != "" && i < at
	}
walk:
	for _, k := range keys {
		all := s.objects[k]
		for i := len(all) - 1; i >= 0; i-- {
			if !after(k, i) {
				continue
			}
			if n == 5 {
				more = true
				break walk
			}
			n++
			key, id = k, "v"+strconv.Itoa(all[i].n)
			stamp := all[i].stored.Format("2006-01-02T15:04:05.000Z")
			if all[i].id == "" {
				fmt.Fprintf(&out, "<DeleteMarker><Key>%s</Key><VersionId>m%d</VersionId><LastModified>%s</LastModified></DeleteMarker>", k, i, stamp)
				continue
			}
			fmt.Fprintf(&out, "<Version><Key>%s</Key><VersionId>%s</VersionId><LastModified>%s</LastModified><Size>%d</Size></Version>",
				k, all[i].id, stamp, all[i].size)
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	fmt.Fprintf(w, "<ListVersionsResult><Name>%s</Name><IsTruncated>%v</IsTruncated><NextKeyMarker>%s</NextKeyMarker><NextVersionIdMarker>%s</NextVersionIdMarker>%s</ListVersionsResult>",
		strictBucket, more, key, id, out.String())
}
