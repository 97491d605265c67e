package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/nats-io/nats-server/v2/server"

	"greffe/pkg/archive"
	"greffe/pkg/index"
	"greffe/pkg/pdf"
	"greffe/pkg/sandbox"
	"greffe/services/console"
	"greffe/services/storage"
)

func TestMain(m *testing.M) {
	pdf.ServeIfWorker()
	// The kill test runs this very program as its victim.
	if os.Getenv("GREFFE_TEST_MAIN") == "1" {
		tune()
		os.Exit(realMain(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	erasureGrace = 0
	code := m.Run()
	leaveHospital()
	os.Exit(code)
}

// deployment is one way to run Greffe. The stories do not know which it is.
type deployment struct {
	name     string
	separate bool // each service opens its own connections, over a NATS server on TCP
	sealed   bool // the archive is encrypted
	real     bool // Dovecot, PostgreSQL, S3, NATS and clamd from the environment
}

var deployments = []deployment{
	{name: "all in one"},
	{name: "separate services, encrypted archive", separate: true, sealed: true},
	{name: "real servers", separate: true, real: true},
}

// realServers are the addresses that .ci/run gives.
var realServers = []string{"GREFFE_TEST_DOVECOT_ADDR", "GREFFE_TEST_DOVECOT_CA", "GREFFE_TEST_DOVECOT_PASSWORD", "GREFFE_TEST_DOVECOT_CERT",
	"GREFFE_TEST_POSTGRES", "GREFFE_TEST_S3", "GREFFE_TEST_S3_ACCESS", "GREFFE_TEST_S3_SECRET", "GREFFE_E2E_NATS", "GREFFE_TEST_CLAMD"}

// realTurn is held by the one test that uses the servers of the environment: they have
// one set of mailboxes and one stream of events.
var realTurn sync.Mutex

// mailServer is where the stories put messages: the sandbox or a real one.
type mailServer interface {
	Append(box, folder string, raw []byte, at time.Time) (uint32, error)
	// Subjects returns how many messages a folder holds.
	Count(box, folder string) (int, error)
}

// installation is a running Greffe with its mailboxes and its DI.
type installation struct {
	t    testing.TB
	dep  deployment
	cfg  *Config
	mail mailServer
	di   *sandbox.DI
	out  *sandbox.Submission // where answers to senders go
	log  *slog.Logger

	mu   sync.Mutex
	apps []*app
	stop context.CancelFunc
	done chan error
}

// install prepares an installation with the sandbox's mailboxes; start runs it.
func install(t testing.TB, dep deployment) *installation {
	t.Helper()
	dir := t.TempDir()
	cfg := defaults()
	cfg.DataDir = dir
	cfg.Identity.Environment = "test"
	cfg.Retry = []Duration{Duration(200 * time.Millisecond)}
	cfg.Console.Listen = "127.0.0.1:0"
	cfg.Fetch.Reconcile = Duration(5 * time.Second)
	in := &installation{t: t, dep: dep, cfg: &cfg, log: testLogger(t)}
	var err error
	if in.di, err = sandbox.StartDI(sandbox.DIConfig{Patients: sandbox.KnownPatients()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.di.Close() })
	cfg.DI = []DIConfig{{Name: "dpi", Protocol: "hl7v2", MLLP: MLLPConfig{Address: in.di.MLLPAddr(), Timeout: Duration(5 * time.Second)},
		Sending: "GREFFE^CH_TEST", Receiving: "DPI^CH_TEST", Processing: "T"}}
	switch {
	case dep.real:
		in.useRealServers(dir)
	default:
		in.useSandboxMail(dir)
		if dep.separate {
			cfg.Bus.URL = startNATS(t)
		}
	}
	if dep.sealed {
		in.seal()
	}
	cfg.setDefaults()
	for _, p := range cfg.validate() {
		t.Fatalf("configuration: %s: %s", p.key, p.text)
	}
	return in
}

// seal turns the encryption of the archive on.
func (in *installation) seal() {
	in.t.Helper()
	text, err := archive.NewMaster()
	if err != nil {
		in.t.Fatal(err)
	}
	in.cfg.Archive.Encryption.MasterKey = in.file("master.key", text)
}

func (in *installation) useSandboxMail(dir string) {
	in.t.Helper()
	mc := sandbox.MailConfig{Dir: dir}
	mc.Users = append(mc.Users, sandbox.MailUser{Name: outside, Password: "pw"})
	for _, m := range sandbox.Mailboxes() {
		mc.Users = append(mc.Users, sandbox.MailUser{Name: m.Address, Password: "pw"})
	}
	srv, err := sandbox.StartMailServer(context.Background(), mc)
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() { srv.Close() })
	in.mail = sandboxMail{srv}
	defer in.useSubmission(srv)
	password := in.file("password", "pw\n")
	for _, m := range sandbox.Mailboxes() {
		for _, f := range m.Folders {
			if f != "INBOX" {
				if err := srv.CreateFolder(m.Address, f); err != nil {
					in.t.Fatal(err)
				}
			}
		}
		in.addMailbox(m, "imaps://"+srv.Addr(), srv.CAFile(), AuthConfig{Mechanism: "plain", PasswordFile: password}, "")
	}
}

// outside stands for everybody who writes to the mailboxes.
const outside = "correspondants@exterieur.example"

// useSubmission lets the mailboxes that log in with a password answer, through the
// submission server beside srv; the correspondents of the samples are on the white list.
func (in *installation) useSubmission(srv *sandbox.MailServer) {
	in.t.Helper()
	var err error
	if in.out, err = sandbox.StartSubmission(context.Background(), srv, outside); err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() { in.out.Close() })
	in.cfg.Answers.WhiteList = in.file("white-list", sandbox.WhiteList())
	for i := range in.cfg.Mailboxes {
		if m := &in.cfg.Mailboxes[i]; m.Auth.Mechanism == "plain" {
			m.SMTP = []string{"smtps://" + in.out.Addr(), "smtp://" + in.out.StartTLSAddr()}[i%2]
			m.RepliesTo = sandbox.Mailboxes()[i].Replies
		}
	}
}

func (in *installation) addMailbox(m sandbox.Mailbox, url, ca string, auth AuthConfig, cert string) {
	in.cfg.Mailboxes = append(in.cfg.Mailboxes, MailboxConfig{
		Address: m.Address, Kind: m.Kind, Service: ServiceConfig{Code: m.Service, Name: m.Name}, IMAP: url, CA: ca, Certificate: cert, Auth: auth, Folders: m.Folders,
		OnArchived: MarkConfig{Keyword: "$Archived"}, OnDelivered: MarkConfig{Move: "Traités"}, OnFailed: MarkConfig{Move: "À traiter"},
	})
}

// useRealServers points the configuration at the servers of the environment. The
// first mailbox logs in with a password, the second with a client certificate
// and SASL EXTERNAL.
func (in *installation) useRealServers(dir string) {
	in.t.Helper()
	env := map[string]string{}
	for _, name := range realServers {
		if env[name] = os.Getenv(name); env[name] == "" {
			in.t.Skipf("%s is not set", name)
		}
	}
	realTurn.Lock()
	in.t.Cleanup(realTurn.Unlock)
	in.cfg.Antivirus.Clamd = env["GREFFE_TEST_CLAMD"]
	boxes := map[string]string{}
	password := in.file("password", env["GREFFE_TEST_DOVECOT_PASSWORD"])
	// The operator's submission server is the sandbox's: it knows the same users.
	operator := filepath.Join(in.cfg.DataDir, "operator")
	if err := os.MkdirAll(operator, 0o700); err != nil {
		in.t.Fatal(err)
	}
	mc := sandbox.MailConfig{Dir: operator, Users: []sandbox.MailUser{{Name: outside, Password: "pw"}}}
	for i := range sandbox.Mailboxes() {
		mc.Users = append(mc.Users, sandbox.MailUser{Name: fmt.Sprintf("test%d@ch.example", i+3), Password: env["GREFFE_TEST_DOVECOT_PASSWORD"]})
	}
	srv, err := sandbox.StartMailServer(context.Background(), mc)
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() { srv.Close() })
	defer in.useSubmission(srv)
	var authorities []byte
	for _, path := range []string{env["GREFFE_TEST_DOVECOT_CA"], srv.CAFile()} {
		pem, err := os.ReadFile(path)
		if err != nil {
			in.t.Fatal(err)
		}
		authorities = append(append(authorities, pem...), '\n')
	}
	ca := in.file("authorities.pem", string(authorities))
	for i, m := range sandbox.Mailboxes() {
		user := fmt.Sprintf("test%d@ch.example", i+3) // 1 and 2 are for the tests of the fetcher
		boxes[m.Address] = user
		auth, cert := AuthConfig{Mechanism: "plain", Username: user, PasswordFile: password}, ""
		if i == 1 {
			auth = AuthConfig{Mechanism: "external", Username: user}
			cert = filepath.Join(filepath.Dir(env["GREFFE_TEST_DOVECOT_CERT"]), user+".pem")
		}
		in.addMailbox(m, "imaps://"+env["GREFFE_TEST_DOVECOT_ADDR"], ca, auth, cert)
	}
	in.mail = &dovecot{t: in.t, addr: env["GREFFE_TEST_DOVECOT_ADDR"], ca: env["GREFFE_TEST_DOVECOT_CA"], password: env["GREFFE_TEST_DOVECOT_PASSWORD"], boxes: boxes}
	in.mail.(*dovecot).empty()
	in.cfg.Bus.URL = env["GREFFE_E2E_NATS"]
	in.cfg.Index.DSN = testDatabase(in.t, env["GREFFE_TEST_POSTGRES"])
	in.cfg.Archive.Mode = "compliance"
	in.cfg.Archive.Retention = Duration(time.Minute)
	in.cfg.Archive.S3 = S3Config{
		Endpoint: env["GREFFE_TEST_S3"], Bucket: fmt.Sprintf("e2e-%d", time.Now().UnixNano()),
		AccessKeyFile: in.file("s3.access", env["GREFFE_TEST_S3_ACCESS"]), SecretKeyFile: in.file("s3.secret", env["GREFFE_TEST_S3_SECRET"]),
	}
	makeBucket(in.t, in.cfg.Archive.S3)
}

func (in *installation) file(name, content string) string {
	in.t.Helper()
	path := filepath.Join(in.cfg.DataDir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		in.t.Fatal(err)
	}
	return path
}

// start runs every service, in one app or in five.
func (in *installation) start() {
	in.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	groups := [][]string{serviceNames}
	if in.dep.separate {
		groups = nil
		for _, s := range serviceNames {
			groups = append(groups, []string{s})
		}
	}
	done := make(chan error, len(groups))
	var apps []*app
	for _, names := range groups {
		a, err := newApp(ctx, in.cfg, in.log, names)
		if err != nil {
			cancel()
			in.t.Fatalf("start %v: %v", names, err)
		}
		apps = append(apps, a)
	}
	var wg sync.WaitGroup
	for _, a := range apps {
		wg.Go(func() {
			err := a.run(ctx)
			done <- errors.Join(err, a.close())
			cancel() // one that fails stops the others, so that the test ends
		})
	}
	go func() { wg.Wait(); close(done) }()
	in.mu.Lock()
	in.apps, in.stop, in.done = apps, cancel, done
	in.mu.Unlock()
}

// halt stops every service and waits.
func (in *installation) halt() {
	in.t.Helper()
	in.mu.Lock()
	stop, done := in.stop, in.done
	in.stop, in.apps = nil, nil
	in.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	for err := range done {
		if err != nil {
			in.t.Errorf("a service failed: %v", err)
		}
	}
}

// db returns the index of a running installation.
func (in *installation) db() *index.DB {
	for _, a := range in.apps {
		if a.db != nil {
			return a.db
		}
	}
	in.t.Fatal("no index is open")
	return nil
}

// console returns the address of the console.
func (in *installation) console() string {
	for _, a := range in.apps {
		if a.console != nil {
			return "http://" + a.console.Addr()
		}
	}
	in.t.Fatal("no console runs")
	return ""
}

// verify runs the product's own verifier over the archive and the index.
func (in *installation) verify() {
	in.t.Helper()
	a := &app{cfg: in.cfg, log: in.log}
	defer a.close()
	if err := errors.Join(a.openArchive(context.Background()), a.openIndex(context.Background())); err != nil {
		in.t.Fatal(err)
	}
	rep, err := storage.Verify(context.Background(), a.store, a.db, storage.VerifyOptions{Full: true})
	if err != nil {
		in.t.Fatalf("verify: %v", err)
	}
	if !rep.OK() {
		in.t.Errorf("verify found holes:\n%s", rep)
	}
}

// until waits for an event that the installation brings about by itself.
func (in *installation) until(what string, f func() (bool, string)) {
	in.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		ok, state := f()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			in.t.Fatalf("%s: not after 2 minutes; %s", what, state)
		}
		select {
		case err := <-in.done:
			in.t.Fatalf("%s: the installation stopped: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// settled waits until n messages are in the index, each in a final state.
func (in *installation) settled(n int) {
	in.t.Helper()
	in.until(fmt.Sprintf("%d messages settled", n), func() (bool, string) {
		messages, documents, err := in.db().Tally(context.Background())
		if err != nil {
			return false, err.Error()
		}
		final := 0
		for s, k := range messages {
			if s.Final() {
				final += k
			}
		}
		return final >= n, fmt.Sprintf("messages %v, documents %v", messages, documents)
	})
}

// login returns a browser that is logged in to the console as role.
func (in *installation) login(role string) *http.Client {
	in.t.Helper()
	hash, err := console.HashPassword("un mot de passe assez long")
	if err != nil {
		in.t.Fatal(err)
	}
	login := role + "-" + strings.ToLower(in.t.Name()[len(in.t.Name())-1:])
	if err := in.db().SaveUser(context.Background(), index.User{Login: login, Name: login, Role: role, Places: []string{index.Everywhere}, Hash: hash}); err != nil {
		in.t.Fatal(err)
	}
	jar, _ := cookiejar.New(nil)
	c := &http.Client{Jar: jar, Timeout: 30 * time.Second}
	resp, err := c.PostForm(in.console()+"/connexion", map[string][]string{"login": {login}, "mot-de-passe": {"un mot de passe assez long"}})
	if err != nil {
		in.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || strings.HasSuffix(resp.Request.URL.Path, "/connexion") {
		in.t.Fatalf("login: %s at %s", resp.Status, resp.Request.URL)
	}
	return c
}

type sandboxMail struct{ *sandbox.MailServer }

func (s sandboxMail) Count(box, folder string) (int, error) {
	list, err := s.Messages(box, folder)
	return len(list), err
}

// dovecot is a real IMAP server, used as a person's mail program would.
type dovecot struct {
	t                  testing.TB
	addr, ca, password string
	boxes              map[string]string // address → user
}

func (d *dovecot) dial(box string) *imapclient.Client {
	d.t.Helper()
	pem, err := os.ReadFile(d.ca)
	if err != nil {
		d.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c, err := imapclient.DialTLS(d.addr, &imapclient.Options{TLSConfig: &tls.Config{RootCAs: pool}})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := c.Login(d.boxes[box], d.password).Wait(); err != nil {
		d.t.Fatal(err)
	}
	return c
}

// empty starts each user's mailbox afresh.
func (d *dovecot) empty() {
	for _, m := range sandbox.Mailboxes() {
		c := d.dial(m.Address)
		for _, f := range append([]string{"Traités", "À traiter"}, m.Folders...) {
			if f != "INBOX" {
				_ = c.Delete(f).Wait() // not there is fine
			}
		}
		for _, f := range m.Folders {
			if f != "INBOX" {
				if err := c.Create(f, nil).Wait(); err != nil {
					d.t.Fatal(err)
				}
			}
		}
		c.Close()
		d.clear(m.Address, "INBOX")
	}
}

// clear removes what is in a folder.
func (d *dovecot) clear(box, folder string) {
	d.t.Helper()
	c := d.dial(box)
	defer c.Close()
	data, err := c.Select(folder, nil).Wait()
	if err != nil {
		d.t.Fatal(err)
	}
	if data.NumMessages == 0 {
		return
	}
	var all imap.SeqSet
	all.AddRange(1, 0)
	if err := c.Store(all, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}, Silent: true}, nil).Close(); err != nil {
		d.t.Fatal(err)
	}
	if err := c.Expunge().Close(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *dovecot) Append(box, folder string, raw []byte, at time.Time) (uint32, error) {
	c := d.dial(box)
	defer c.Close()
	cmd := c.Append(folder, int64(len(raw)), &imap.AppendOptions{Time: at})
	if _, err := cmd.Write(raw); err != nil {
		return 0, err
	}
	if err := cmd.Close(); err != nil {
		return 0, err
	}
	data, err := cmd.Wait()
	if err != nil {
		return 0, err
	}
	return uint32(data.UID), nil
}

func (d *dovecot) Count(box, folder string) (int, error) {
	c := d.dial(box)
	defer c.Close()
	data, err := c.Status(folder, &imap.StatusOptions{NumMessages: true}).Wait()
	if err != nil {
		return 0, err
	}
	return int(*data.NumMessages), nil
}

// startNATS runs a NATS server with JetStream on a free port.
func startNATS(t testing.TB) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS server did not start")
	}
	return s.ClientURL()
}

// testLogger shows the log of the services when the test fails.
func testLogger(t testing.TB) *slog.Logger {
	level := "warn"
	if os.Getenv("GREFFE_TEST_LOG") != "" {
		level = os.Getenv("GREFFE_TEST_LOG")
	}
	return newLogger(LogConfig{Level: level, Format: "text"}, t.Output())
}
