package cmd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mqt/mqtt/bench"
	"mqt/mqtt/client"
	"mqt/mqtt/template"
	"mqt/mqtt/transport"
)

// benchText is what ${name} stands for in the texts of one group of clients:
// ${i} is the client's number.
type benchText struct {
	parser template.Parser
	rows   [][]string
	run    string
	seed   uint64
	shards int
}

// The names that a client has beside those of package template, and their
// places.
const (
	textRole = iota
	textRun
	textGroup
	textClient
	textUser
	textNumber
	textShard
)

func benchNames() []string {
	return []string{"role", "run", "group", "clientid", "username", "n", "shard"}
}

// benchTexts reads the CSV file of clients.
func benchTexts(flag, path, run string, seed uint64, shards int) (*benchText, error) {
	t := &benchText{run: run, seed: seed, shards: shards, parser: template.Parser{Env: os.LookupEnv, Names: benchNames()}}
	if path == "" {
		return t, nil
	}
	f := &filler{}
	if err := f.readCSV(flag, path); err != nil {
		return nil, err
	}
	t.parser.Columns, t.rows = f.parser.Columns, f.rows
	return t, nil
}

// parse reads a text. emqtt-bench's %i, %c and %u are read as well.
func (t *benchText) parse(flag, text string) (*template.Template, error) {
	for old, name := range map[string]string{"%i": "${i}", "%c": "${clientid}", "%u": "${username}"} {
		text = strings.ReplaceAll(text, old, name)
	}
	tpl, err := t.parser.Parse(text)
	if err != nil {
		return nil, &usageError{text: flag + " " + strings.TrimPrefix(err.Error(), "template: ")}
	}
	return tpl, nil
}

// static is for texts that are made once for each client, not for each message.
func (t *benchText) static(flag, text string) (*template.Template, error) {
	if strings.Contains(text, "${n}") || strings.Contains(text, "%s") {
		return nil, &usageError{text: flag + " is made once for each client, and ${n} changes with each message"}
	}
	return t.parse(flag, text)
}

// values are those of client i of a group. The same client has the same.
func (t *benchText) values(role bench.Role, group string, i int) *template.Values {
	v := &template.Values{I: uint64(i), Time: time.Now(), More: make([]string, len(benchNames()))}
	v.More[textRole], v.More[textRun], v.More[textGroup] = string(role), t.run, group
	v.More[textShard] = strconv.Itoa(i % t.shards) // as package bench divides them
	var salt uint64
	for _, c := range []byte(group) {
		salt = salt*31 + uint64(c)
	}
	v.Rand = rand.New(rand.NewPCG(t.seed, salt<<32|uint64(i))) //nolint:gosec // no secret
	if t.rows != nil {
		v.Row = t.rows[i%len(t.rows)]
	}
	return v
}

// column is client i's value in the CSV file.
func (t *benchText) column(i int, names ...string) (string, bool) {
	for _, name := range names {
		if k := slices.Index(t.parser.Columns, name); k >= 0 {
			return t.rows[i%len(t.rows)][k], true
		}
	}
	return "", false
}

// identity is what the flags say of each client.
type identity struct {
	text               *benchText
	id, user, password *template.Template // nil: not given
	cert, key          *template.Template // of files
	keypass            string
	sources            []string
	tls                *tls.Config
	next               sync.Mutex
	taken              int
}

// setup changes the options of client i of a group.
func (d *identity) setup(role bench.Role, group string, i int, o *client.Options) error {
	v := d.text.values(role, group, i)
	v.More[textClient] = o.ClientID
	if user, ok := d.text.column(i, "username", "user"); ok {
		o.Username, o.HasUsername = user, true
	}
	if d.user != nil {
		o.Username = d.user.String(v)
	}
	v.More[textUser] = o.Username
	if password, ok := d.text.column(i, "password"); ok {
		o.Password = []byte(password)
	}
	if d.password != nil {
		o.Password = d.password.Append(nil, v)
	}
	if id, ok := d.text.column(i, "client_id", "clientid", "id"); ok && d.id == nil {
		o.ClientID = id
	}
	if len(d.sources) > 0 {
		d.next.Lock()
		o.DialOptions.Bind = d.sources[d.taken%len(d.sources)]
		d.taken++
		d.next.Unlock()
	}
	if d.cert == nil {
		return nil
	}
	cert, err := loadCertificate(d.cert.String(v), d.key.String(v), d.keypass)
	if err != nil {
		return err
	}
	c := d.tls.Clone()
	c.Certificates = []tls.Certificate{cert}
	o.DialOptions.TLS = c
	return nil
}

// benchDial is how package bench connects.
func benchDial(ctx context.Context, o *client.Options) (net.Conn, error) {
	return transport.Dial(ctx, o.Endpoint, o.DialOptions)
}

// readSources reads --source-ip: addresses and networks, or auto for all of
// this machine's that can reach the server.
func readSources(list string, target *transport.Endpoint) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	if list == "auto" {
		return autoSources(target)
	}
	var all []string
	for _, one := range strings.Split(list, ",") {
		one = strings.TrimSpace(one)
		if ip := net.ParseIP(one); ip != nil {
			all = append(all, ip.String())
			continue
		}
		_, network, err := net.ParseCIDR(one)
		if err != nil {
			return nil, &usageError{text: "--source-ip " + shown(one), hint: "it is an address, a network such as 10.0.0.0/28, or auto"}
		}
		own, err := ownAddresses(func(ip net.IP) bool { return network.Contains(ip) })
		if err != nil {
			return nil, err
		}
		if network.IP.IsLoopback() && len(own) < 2 {
			own = addressesOf(network)
		}
		if len(own) == 0 {
			return nil, &usageError{text: "--source-ip " + one + ": this machine has no address in it",
				hint: "ip addr add " + network.IP.String() + "/32 dev eth0"}
		}
		all = append(all, own...)
	}
	return all, nil
}

// maxSources bounds the addresses of a network.
const maxSources = 256

// addressesOf are those of a network that is the machine's as a whole.
func addressesOf(n *net.IPNet) []string {
	var all []string
	ip := slices.Clone(n.IP)
	for len(all) < maxSources {
		for k := len(ip) - 1; k >= 0; k-- {
			if ip[k]++; ip[k] != 0 {
				break
			}
		}
		if !n.Contains(ip) || ip[len(ip)-1] == 255 {
			break
		}
		all = append(all, ip.String())
	}
	return all
}

func ownAddresses(want func(net.IP) bool) ([]string, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("--source-ip: %w", err)
	}
	var all []string
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && want(n.IP) {
			all = append(all, n.IP.String())
		}
	}
	return all, nil
}

// autoSources are this machine's addresses of the kind that the server has.
func autoSources(target *transport.Endpoint) ([]string, error) {
	ips, err := net.LookupIP(target.Host)
	if err != nil || len(ips) == 0 {
		return nil, fmt.Errorf("--source-ip auto: %w", errors.Join(err, errors.New("the server's address is not known")))
	}
	to := ips[0]
	if to.IsLoopback() && to.To4() != nil {
		return addressesOf(&net.IPNet{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(29, 32)}), nil
	}
	return ownAddresses(func(ip net.IP) bool {
		return !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && (ip.To4() != nil) == (to.To4() != nil)
	})
}

// readSize reads 64, 64-1024 or 4KiB.
func readSize(s string) (low, high int, err error) {
	from, to, ranged := strings.Cut(s, "-")
	if low, err = payloadSize(from); err == nil && ranged {
		high, err = payloadSize(to)
	}
	if err != nil || low == 0 || ranged && high < low {
		return 0, 0, fmt.Errorf("it is a number of bytes from 1 to %d, or two with a - between them", bench.MaxSize)
	}
	return low, high, nil
}

func payloadSize(s string) (int, error) {
	factor := 1
	for suffix, f := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20, "k": 1000} {
		if t, ok := strings.CutSuffix(s, suffix); ok {
			s, factor = t, f
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n*factor > bench.MaxSize {
		return 0, errors.New("no size")
	}
	return n * factor, nil
}

// benchPayload reads --payload: text, @FILE, or template:TEXT.
func benchPayload(t *benchText, flag, s string) (func(dst []byte, i int, n uint64) []byte, error) {
	if path, ok := strings.CutPrefix(s, "@"); ok {
		b, err := readFile(flag, path)
		if err != nil {
			return nil, err
		}
		return func(dst []byte, _ int, _ uint64) []byte { return append(dst, b...) }, nil
	}
	text, filled := strings.CutPrefix(s, "template:")
	if !filled {
		return func(dst []byte, _ int, _ uint64) []byte { return append(dst, s...) }, nil
	}
	tpl, err := t.parse(flag, text)
	if err != nil {
		return nil, err
	}
	values := sync.Pool{New: func() any { return new(template.Values) }}
	return func(dst []byte, i int, n uint64) []byte {
		v := values.Get().(*template.Values)
		defer values.Put(v)
		if v.More == nil {
			v.More = make([]string, len(benchNames()))
		}
		v.I, v.Time = uint64(i), time.Time{}
		v.More[textRun], v.More[textNumber] = t.run, strconv.FormatUint(n, 10)
		if t.rows != nil {
			v.Row = t.rows[i%len(t.rows)]
		}
		return tpl.Append(dst, v)
	}, nil
}
