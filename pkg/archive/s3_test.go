package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"greffe/pkg/greffe"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// secret writes a value to a file and returns its path.
func secret(t testing.TB, value string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func openS3(t testing.TB, cfg S3Config) *s3Store {
	t.Helper()
	s, err := OpenS3(t.Context(), cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.(*s3Store)
}

// servers gives a bucket with Object Lock on the strict server in this process
// and, when its address is given, on a real one.
func servers(t *testing.T, f func(t *testing.T, cfg S3Config)) {
	t.Run("strict", func(t *testing.T) {
		t.Parallel()
		cfg, _ := newStrictS3(t)
		f(t, cfg)
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		f(t, realS3(t))
	})
}

// realS3 is the bucket that GREFFE_TEST_S3 names; it is made when it is not there.
func realS3(t testing.TB) S3Config {
	t.Helper()
	endpoint := os.Getenv("GREFFE_TEST_S3")
	if endpoint == "" {
		t.Skip("GREFFE_TEST_S3 is not set")
	}
	cfg := S3Config{
		Endpoint: endpoint, Bucket: os.Getenv("GREFFE_TEST_S3_BUCKET"), Region: "us-east-1",
		AccessKey: secret(t, os.Getenv("GREFFE_TEST_S3_ACCESS")), SecretKey: secret(t, os.Getenv("GREFFE_TEST_S3_SECRET")),
		Mode: ModeCompliance, Retention: time.Minute,
	}
	s := openS3(t, cfg)
	err := s.c.MakeBucket(t.Context(), cfg.Bucket, minio.MakeBucketOptions{ObjectLocking: true})
	if code := minio.ToErrorResponse(err).Code; err != nil && code != "BucketAlreadyOwnedByYou" && code != "BucketAlreadyExists" {
		t.Fatal(err)
	}
	return cfg
}

const lockUnit = minio.Days

// ownBucket makes a bucket that nobody else uses, where cfg is of a real server.
func ownBucket(t testing.TB, cfg S3Config) string {
	t.Helper()
	if cfg.Bucket == strictBucket {
		return cfg.Bucket
	}
	name := "own-" + strings.ToLower(rand.Text())
	if err := openS3(t, cfg).c.MakeBucket(t.Context(), name, minio.MakeBucketOptions{ObjectLocking: true}); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestS3(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, cfg S3Config) { testStore(t, openS3(t, cfg)) })
}

func TestS3Locks(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, cfg S3Config) {
		for mode, want := range map[string]string{ModeCompliance: "COMPLIANCE", ModeGovernance: "GOVERNANCE", ModeNone: ""} {
			cfg.Mode = mode
			s := openS3(t, cfg)
			before := time.Now()
			o := put(t, s, "lock/"+strings.ToLower(t.Name()[len("TestS3Locks/"):])+"-"+mode+before.UTC().Format("-150405.000000"), []byte(mode))
			i, err := s.Stat(t.Context(), o.Key)
			if err != nil {
				t.Fatal(err)
			}
			if i.Mode != want || o.Version == "" || i.SHA256 != o.SHA256 {
				t.Errorf("mode %s: %+v", mode, i)
			}
			if want != "" && i.RetainUntil.Before(before.Add(cfg.Retention-2*time.Second)) {
				t.Errorf("mode %s is locked until %v", mode, i.RetainUntil)
			}
			if want == "" && !i.RetainUntil.IsZero() {
				t.Errorf("mode %s is locked until %v", mode, i.RetainUntil)
			}
		}
	})
}

// Somebody with the bucket's key may put a delete marker or another version over
// an object. Greffe still finds, lists and reads what it wrote.
func TestS3SeesThroughOverwriting(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, cfg S3Config) {
		s := openS3(t, cfg)
		prefix := "hidden/" + strings.ToLower(time.Now().UTC().Format("150405.000000")) + "/"
		b := []byte("what was received")
		o := put(t, s, prefix+"a", b)
		check := func(what string) {
			t.Helper()
			if got := get(t, s, o); !bytes.Equal(got, b) {
				t.Errorf("%s: by version, read %q", what, got)
			}
			if again := put(t, s, o.Key, b); again.SHA256 != o.SHA256 {
				t.Errorf("%s: put again gave %+v", what, again)
			}
			n := 0
			for i, err := range s.List(t.Context(), prefix) {
				if n++; err != nil || i.Version != o.Version {
					t.Errorf("%s: List gave %+v, %v, want version %s", what, i, err, o.Version)
				}
			}
			if n != 1 {
				t.Errorf("%s: List gave %d objects", what, n)
			}
		}
		check("untouched")
		if err := s.c.RemoveObject(t.Context(), s.bucket, o.Key, minio.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		if i, err := s.Stat(t.Context(), o.Key); err != nil || i.Version != o.Version {
			t.Errorf("below a delete marker, Stat gave %+v, %v", i, err)
		}
		if got := get(t, s, greffe.Object{Key: o.Key}); !bytes.Equal(got, b) {
			t.Errorf("below a delete marker, read %q", got)
		}
		check("below a delete marker")
		other := []byte("something else")
		if _, err := s.c.Client.PutObject(t.Context(), s.bucket, o.Key, bytes.NewReader(other), int64(len(other)),
			minio.PutObjectOptions{DisableMultipart: true, UserMetadata: map[string]string{checksumHeader: checksum(greffe.DigestOf(other))}}); err != nil {
			t.Fatal(err)
		}
		check("below another version")
	})
}

func TestS3Check(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, cfg S3Config) {
		for mode, want := range map[string]int{ModeCompliance: 11, ModeGovernance: 11, ModeNone: 6} {
			cfg.Mode = mode
			checks := openS3(t, cfg).Check(t.Context())
			for _, c := range checks {
				if !c.OK || c.Name == "" || c.Text == "" {
					t.Errorf("mode %s: %+v", mode, c)
				}
			}
			if len(checks) != want {
				t.Errorf("mode %s: %d checks, want %d", mode, len(checks), want)
			}
		}
		bucket := cfg.Bucket
		cfg.Bucket = "not-there"
		cfg.Mode = ModeCompliance
		checks := openS3(t, cfg).Check(t.Context())
		if len(checks) != 1 || checks[0].OK || !strings.Contains(checks[0].Text, "créez-le") {
			t.Errorf("a bucket that is not there: %+v", checks)
		}
		cfg.Bucket, cfg.AccessKey = bucket, secret(t, "wrong")
		if checks := openS3(t, cfg).Check(t.Context()); len(checks) != 1 || checks[0].OK || !strings.Contains(checks[0].Text, "refuse la clé") {
			t.Errorf("a wrong key: %+v", checks)
		}
	})
}

// A server that promises and does not keep is found out, each lie by its check.
func TestS3CheckFindsLies(t *testing.T) {
	t.Parallel()
	for lie, want := range map[string]string{
		"no versioning": "Versions du bucket",
		"no lock":       "Verrouillage d’objets du bucket",
		"overwrites":    "Écriture unique",
		"any checksum":  "Contrôle de l’intégrité à l’écriture",
		"deletes":       "Effacement refusé",
		"shortens":      "Raccourcissement refusé",
		"forgets lock":  "Écriture dans le bucket",

		"forgets extension": "Prolongation de la conservation",
	} {
		t.Run(lie, func(t *testing.T) {
			t.Parallel()
			cfg, server := newStrictS3(t)
			server.lie = lie
			bad := 0
			for _, c := range openS3(t, cfg).Check(t.Context()) {
				if !c.OK {
					if bad++; c.Name != want || c.Later {
						t.Errorf("%+v", c)
					}
				}
			}
			if bad != 1 {
				t.Errorf("%d checks failed, want the one named %q", bad, want)
			}
		})
	}
}

func TestS3SaysWhenItIsDown(t *testing.T) {
	t.Parallel()
	down, _ := newStrictS3(t)
	down.Endpoint = "https://127.0.0.1:1"
	noBucket, _ := newStrictS3(t)
	noBucket.Bucket = "not-there"
	wrongKey, _ := newStrictS3(t)
	wrongKey.AccessKey = secret(t, "somebody-else")
	noKey, _ := newStrictS3(t)
	noKey.SecretKey = filepath.Join(t.TempDir(), "none")
	noCA, _ := newStrictS3(t)
	noCA.CA = ""
	broken, server := newStrictS3(t)
	server.lie = "500"
	for name, cfg := range map[string]S3Config{"down": down, "no bucket": noBucket, "wrong key": wrongKey, "no key": noKey, "unknown authority": noCA, "500": broken} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openS3(t, cfg)
			b := []byte("x")
			if _, err := s.Put(t.Context(), "a", bytes.NewReader(b), 1, greffe.DigestOf(b)); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Put: %v, want ErrUnavailable", err)
			}
			if _, err := s.Stat(t.Context(), "a"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Stat: %v, want ErrUnavailable", err)
			}
			if _, err := s.Open(t.Context(), greffe.Object{Key: "a"}); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Open: %v, want ErrUnavailable", err)
			}
			for _, err := range s.List(t.Context(), "") {
				if !errors.Is(err, ErrUnavailable) {
					t.Errorf("List: %v, want ErrUnavailable", err)
				}
			}
			// What answers says something; what does not may do so later.
			answers := name == "no bucket" || name == "wrong key"
			if c := s.Check(t.Context()); len(c) != 1 || c[0].OK || c[0].Text == "" || c[0].Later == answers {
				t.Errorf("Check: %+v", c)
			}
			if _, err := s.Retain(t.Context(), greffe.Object{Key: "a"}, time.Now().Add(time.Hour)); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Retain: %v, want ErrUnavailable", err)
			}
			if _, err := s.Hold(t.Context(), greffe.Object{Key: "a"}, true); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Hold: %v, want ErrUnavailable", err)
			}
			if err := s.Eliminate(t.Context(), greffe.Object{Key: "a"}); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Eliminate: %v, want ErrUnavailable", err)
			}
		})
	}
}

// The answer to a put is lost: what is stored is found by the repeat.
func TestS3AnswerLost(t *testing.T) {
	t.Parallel()
	cfg, server := newStrictS3(t)
	s := openS3(t, cfg)
	b := bytes.Repeat([]byte("x"), 10_000)
	server.mu.Lock()
	server.lie = "loses answers"
	server.mu.Unlock()
	if _, err := s.Put(t.Context(), "a", bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b)); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("a lost answer gives %v", err)
	}
	server.mu.Lock()
	server.lie = ""
	server.mu.Unlock()
	put(t, s, "a", b)
	if n := server.count("a"); n != 1 {
		t.Errorf("%d versions", n)
	}
}

// A repeat of a large object must not send it again.
func TestS3SendsOnce(t *testing.T) {
	t.Parallel()
	cfg, server := newStrictS3(t)
	s := openS3(t, cfg)
	b := bytes.Repeat([]byte("x"), 1<<20)
	put(t, s, "a", b)
	put(t, s, "a", b)
	if n := server.puts.Load(); n != 1 {
		t.Errorf("%d uploads", n)
	}
}

// A body that is cut while it is read is an outage, not a shorter object.
func TestS3CutWhileReading(t *testing.T) {
	t.Parallel()
	cfg, server := newStrictS3(t)
	s := openS3(t, cfg)
	b := bytes.Repeat([]byte("0123456789"), 100_000)
	o := put(t, s, "a", b)
	server.mu.Lock()
	server.lie = "cuts reads"
	server.mu.Unlock()
	r, err := s.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got bytes.Buffer
	if _, err := got.ReadFrom(r); !errors.Is(err, ErrUnavailable) || got.Len() >= len(b) {
		t.Errorf("read %d bytes, %v", got.Len(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	server.mu.Lock()
	server.lie = ""
	server.mu.Unlock()
	r2, err := s.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r2.Close()
	cancel()
	if _, err := got.ReadFrom(r2); !errors.Is(err, context.Canceled) {
		t.Errorf("reading with a cancelled context: %v", err)
	}
}

func TestOpenS3RefusesWrongSettings(t *testing.T) {
	t.Parallel()
	good := S3Config{Endpoint: "https://s3.example", Bucket: "archive", Region: "r", Mode: ModeCompliance, Retention: time.Hour}
	for name, spoil := range map[string]func(*S3Config){
		"no scheme":        func(c *S3Config) { c.Endpoint = "s3.example:9000" },
		"a path":           func(c *S3Config) { c.Endpoint = "https://s3.example/archive" },
		"mode":             func(c *S3Config) { c.Mode = "" },
		"no retention":     func(c *S3Config) { c.Retention = 0 },
		"absurd retention": func(c *S3Config) { c.Retention = maxRetention + 1 },
		"no authorities":   func(c *S3Config) { c.CA = filepath.Join(t.TempDir(), "none") },
		"not PEM":          func(c *S3Config) { c.CA = secret(t, "x") },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := OpenS3(t.Context(), cfg, quiet()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := OpenS3(t.Context(), good, quiet()); err != nil {
		t.Error(err)
	}
}

func TestFaultKeepsWhatIsAboutOneObject(t *testing.T) {
	t.Parallel()
	if err := fault(minio.ErrorResponse{StatusCode: 404, Code: "NoSuchKey"}); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnavailable) {
		t.Errorf("NoSuchKey gives %v", err)
	}
	for code, want := range map[int]bool{400: false, 404: true, 412: false, 413: false, 403: true, 429: true, 500: true, 503: true} {
		err := fault(minio.ErrorResponse{StatusCode: code, Code: http.StatusText(code)})
		if errors.Is(err, ErrUnavailable) != want {
			t.Errorf("HTTP %d gives %v", code, err)
		}
	}
}

func BenchmarkS3Put200K(b *testing.B) {
	cfg := realS3(b)
	s := openS3(b, cfg)
	body := bytes.Repeat([]byte("0123456789abcdef"), 200<<10/16)
	b.SetBytes(int64(len(body)))
	b.RunParallel(func(pb *testing.PB) {
		own := bytes.Clone(body)
		for pb.Next() {
			copy(own, time.Now().String())
			d := greffe.DigestOf(own)
			if _, err := s.Put(b.Context(), ContentKey(d), bytes.NewReader(own), int64(len(own)), d); err != nil {
				b.Error(err)
			}
		}
	})
}
