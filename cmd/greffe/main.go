// Command greffe takes the documents that French hospitals and care homes
// receive by MSSanté mail, archives them with proof, and gives each one to the
// patient record system once.
//
// One binary holds every service and every tool; "greffe run" starts all of them
// in one process, "greffe run parser" one. See README.md for the map of the house.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"greffe/pkg/pdf"
)

// Exit codes.
const (
	exitOK    = 0
	exitWrong = 1 // something is wrong with the data or the system
	exitUsage = 2 // wrong use: arguments or configuration
)

// command is one line of "greffe --help". Texts are French: people read them.
type command struct {
	name    string
	args    string // synopsis of arguments and own options
	summary string
	help    string
	run     func(ctx context.Context, c *call) error
	flags   func(fs *flag.FlagSet, c *call)
}

// call is one use of a command: its options, its arguments, its streams.
type call struct {
	config string
	data   string
	json   bool
	opt    any // the command's own options
	args   []string
	out    io.Writer
	err    io.Writer
	in     io.Reader
}

var commands = []command{demoCommand, runCommand, checkCommand, configCommand, inspectCommand, rulesCommand, selftestCommand, verifyCommand, reindexCommand, retainCommand, completenessCommand, proveCommand, exportCommand, replayCommand, keysCommand, usersCommand, tokensCommand, versionCommand}

func main() {
	pdf.ServeIfWorker() // the PDF worker is this program, started again by the parser
	tune()
	os.Exit(realMain(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// realMain is main without the process: tests call it.
func realMain(args []string, in io.Reader, out, errw io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) == 0 {
		usage(errw)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "--help":
		if len(args) > 1 {
			args = []string{args[1], "--help"}
			break
		}
		usage(out)
		return exitOK
	case "--version":
		args[0] = "version"
	}
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == args[0] })
	if i < 0 {
		fmt.Fprintf(errw, "greffe : commande inconnue : %q\n\n", args[0])
		usage(errw)
		return exitUsage
	}
	cmd := commands[i]
	c := &call{out: out, err: errw, in: in}
	if err := c.parse(cmd, args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			commandUsage(out, cmd, c)
			return exitOK
		}
		fmt.Fprintf(errw, "greffe %s : %s\n\n", cmd.name, err)
		commandUsage(errw, cmd, c)
		return exitUsage
	}
	return exitCode(errw, cmd.name, cmd.run(ctx, c))
}

// errUsage marks a wrong use found after the options were read.
var errUsage = errors.New("mauvais usage")

// errFound says that the command did its work, told it all, and found something wrong.
var errFound = errors.New("des anomalies ont été trouvées")

func exitCode(errw io.Writer, name string, err error) int {
	var bad *ConfigError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFound):
		return exitWrong
	case errors.As(err, &bad):
		for _, p := range bad.Problems {
			fmt.Fprintln(errw, p)
		}
		return exitUsage
	case errors.Is(err, errUsage):
		fmt.Fprintf(errw, "greffe %s : %s\n", name, err)
		return exitUsage
	}
	fmt.Fprintf(errw, "greffe %s : %s\n", name, err)
	return exitWrong
}

func (c *call) flagSet(cmd command) *flag.FlagSet {
	fs := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.config, "config", "", "`FICHIER` de configuration")
	fs.StringVar(&c.data, "data", "", "`DOSSIER` d'une installation embarquée (son greffe.yaml est lu s'il existe)")
	if cmd.flags != nil {
		cmd.flags(fs, c)
	}
	return fs
}

// parse reads options and arguments in any order.
func (c *call) parse(cmd command, args []string) error {
	fs := c.flagSet(cmd)
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return err
			}
			return fmt.Errorf("option inconnue ou mal écrite (%s)", err)
		}
		if fs.NArg() == 0 {
			return nil
		}
		c.args = append(c.args, fs.Arg(0))
		args = fs.Args()[1:]
	}
}

func usage(w io.Writer) {
	fmt.Fprint(w, "greffe : archive les documents reçus par MSSanté et les remet au dossier du patient.\n\nUsage : greffe COMMANDE [options]\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-12s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\n« greffe COMMANDE --help » explique une commande.\nCodes de sortie : 0 tout va bien, 1 quelque chose ne va pas, 2 mauvais usage.\n")
}

func commandUsage(w io.Writer, cmd command, c *call) {
	fmt.Fprintf(w, "Usage : greffe %s %s\n\n%s\n", cmd.name, cmd.args, strings.Trim(cmd.help, "\n"))
	head := "\nOptions :\n"
	c.flagSet(cmd).VisitAll(func(f *flag.Flag) {
		fmt.Fprint(w, head)
		head = ""
		value, text := flag.UnquoteUsage(f)
		name := "--" + f.Name
		if value != "" {
			name += " " + value
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			text += " (défaut : " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "  %-22s %s\n", name, text)
	})
}
