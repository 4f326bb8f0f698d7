package cmd

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"mqt/mqtt/access"
)

type passwdOptions struct {
	create, remove, batch bool
	passwordFile          string
	scram                 bool
	iterations            int // 0: not given
}

// maxPassword is what CONNECT can carry, section 3.1.3.6.
const maxPassword = 65_535

func passwdCommand(s *Stdio) *cli.Command {
	o := &passwdOptions{}
	const g = group("Flags")
	return &cli.Command{
		Name: "passwd", Usage: "change the file with the users of a broker",
		UsageText: "mqt passwd [-c] [--scram] [--password-file FILE] FILE USER\nmqt passwd [-c] [--scram] -b FILE USER PASSWORD\nmqt passwd -D FILE USER",
		ArgsUsage: "FILE USER [PASSWORD]",
		Description: `It asks for the password on a terminal, and otherwise reads the first line of stdin. The file holds
argon2id hashes, never passwords; a new one is readable by its owner only. One that is there is replaced
in one step and keeps owner and mode, but what everybody may do with it.
With --scram it holds what SCRAM-SHA-256 and SCRAM-SHA-512 need, by which a client proves its password
and need not tell it; a client that tells it is let in as well. A running broker reads it again on SIGHUP.

Examples:
  mqt passwd -c users alice
  pass show mqtt/bob | mqt passwd users bob
  mqt passwd --scram users carol               # mqt pub --auth-method SCRAM-SHA-256 -u carol
  mqt broker --password-file users`,
		Flags: flags([]*option{
			g.toggle("create c", "begin a new file; one that is there is replaced, with all its users", &o.create),
			g.toggle("delete D", "take the user out", &o.remove),
			g.toggle("batch b", "take the password from the command line, where others may see it", &o.batch),
			g.toggle("scram", "write keys for SCRAM in the place of an argon2id hash", &o.scram),
			number(g, "iterations", "`NUMBER` of rounds that --scram costs a client (default: 100000)", &o.iterations, 4096, access.MaxIterations),
			g.text("password-file", "`FILE` whose first line is the password", &o.passwordFile),
		}),
		Action: func(c *cli.Context) error { return o.run(c.Context, s, c.Args().Slice()) },
	}
}

func (o *passwdOptions) run(ctx context.Context, s *Stdio, args []string) error {
	want := 2
	if o.batch {
		want = 3
	}
	switch {
	case len(args) != want:
		return &usageError{text: "mqt passwd takes FILE USER, and with -b a PASSWORD", hint: "as in mqt passwd -c users alice"}
	case o.remove && (o.create || o.batch || o.passwordFile != "" || o.scram):
		return &usageError{text: "-D takes a user out: neither -c, -b, --scram nor --password-file goes with it"}
	case o.iterations != 0 && !o.scram:
		return &usageError{text: "--iterations is for --scram"}
	case o.batch && o.passwordFile != "":
		return &usageError{text: "-b and --password-file both give the password", hint: "one of them is enough"}
	}
	file, user := args[0], args[1]
	if err := access.ValidateUser(user); err != nil {
		return &usageError{text: err.Error()}
	}
	if _, err := os.Stat(file); !o.create && errors.Is(err, os.ErrNotExist) { // say so before asking
		return &usageError{text: file + " does not exist", hint: "-c makes it"}
	}
	change := func(text []byte) ([]byte, error) {
		text, found := access.DeleteUser(text, user)
		if !found {
			return nil, fmt.Errorf("%s: there is no user %q", file, user)
		}
		return text, nil
	}
	dropped := 0
	if !o.remove {
		hash, err := o.hash(ctx, s, args)
		if err != nil {
			return err
		}
		change = func(text []byte) ([]byte, error) {
			if o.create {
				others, _ := access.DeleteUser(text, user)
				text, dropped = nil, access.CountUsers(others)
			}
			text = access.SetUser(text, user, hash)
			_, err := access.ParseUsers(file, text) // the broker would refuse it
			return text, err
		}
	}
	err := rewrite(file, o.create, s.Err, lockDir(ctx), change)
	if err == nil && dropped > 0 {
		fmt.Fprintf(s.Err, "mqt passwd: %s: users dropped by -c: %d\n", file, dropped)
	}
	return err
}

// hash is what the file shall have behind the user's name.
func (o *passwdOptions) hash(ctx context.Context, s *Stdio, args []string) (string, error) {
	password, err := o.password(ctx, s, args)
	if err != nil {
		return "", err
	}
	if o.scram {
		return access.HashScram(string(password), cmp.Or(o.iterations, access.DefaultIterations))
	}
	return access.Hash(password), nil
}

// password comes from one of four places, and is not empty.
func (o *passwdOptions) password(ctx context.Context, s *Stdio, args []string) (password []byte, err error) {
	switch in, isFile := s.In.(*os.File); {
	case o.batch:
		password = []byte(args[2])
	case o.passwordFile != "":
		var b []byte
		b, err = readFile("--password-file", o.passwordFile)
		password = firstLine(b)
	case isFile && isTerminal(in):
		password, err = ask(ctx, in, s.Err)
	default:
		password, err = bufio.NewReader(io.LimitReader(s.In, maxPassword+3)).ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		password = firstLine(password)
	}
	switch {
	case err != nil:
		return nil, err
	case len(password) == 0:
		return nil, errors.New("the password is empty")
	case len(password) > maxPassword:
		return nil, fmt.Errorf("the password is longer than %d bytes", maxPassword)
	}
	return password, nil
}

func firstLine(b []byte) []byte {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// ask has a person type it twice, unseen.
func ask(ctx context.Context, in *os.File, out io.Writer) ([]byte, error) {
	var typed [2][]byte
	for i, prompt := range []string{"Password: ", "Again: "} {
		var err error
		if typed[i], err = readSecret(ctx, in, out, prompt); err != nil {
			return nil, err
		}
	}
	if !bytes.Equal(typed[0], typed[1]) {
		return nil, errors.New("the passwords differ")
	}
	return typed[0], nil
}
