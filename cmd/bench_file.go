package cmd

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"mqt/mqtt"
	"mqt/mqtt/bench"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

// benchSchema is the JSON Schema of a scenario file.
//
//go:embed bench_schema.json
var benchSchema []byte

// benchFile is a scenario file.
type benchFile struct {
	Version    int                   `yaml:"version"`
	Name       string                `yaml:"name"`
	Broker     fileBroker            `yaml:"broker"`
	Defaults   fileGroup             `yaml:"defaults"`
	Seed       uint64                `yaml:"seed"`
	Track      string                `yaml:"track"`
	Connecting int                   `yaml:"connecting"`
	ConnRate   fileRate              `yaml:"connect_rate"`
	Groups     map[string]*fileGroup `yaml:"groups"`
	Phases     []filePhase           `yaml:"phases"`
	Thresholds []fileRule            `yaml:"thresholds"`
	Outputs    []string              `yaml:"outputs"`

	order []string // of groups
}

type fileBroker struct {
	URL     string `yaml:"url"`
	Proto   string `yaml:"proto"`
	Command string `yaml:"command"`
}

// fileGroup is one group; what is not said is taken from the defaults.
type fileGroup struct {
	Role      string       `yaml:"role"`
	Clients   int          `yaml:"clients"`
	Topic     string       `yaml:"topic"`
	Filter    string       `yaml:"filter"`
	QoS       fileQoS      `yaml:"qos"`
	Size      fileSize     `yaml:"size"`
	Payload   string       `yaml:"payload"`
	Retain    bool         `yaml:"retain"`
	Rate      fileRate     `yaml:"rate"`
	PerClient fileRate     `yaml:"rate_per_client"`
	Max       bool         `yaml:"max"`
	InFlight  int          `yaml:"inflight"`
	Arrival   string       `yaml:"arrival"`
	Session   *fileSession `yaml:"session"`
	Reconnect *fileRetry   `yaml:"reconnect"`
	ClientID  string       `yaml:"client_id"`
	Username  string       `yaml:"username"`
	Password  string       `yaml:"password"`
}

type fileSession struct {
	Clean  *bool        `yaml:"clean"`
	Expiry fileDuration `yaml:"expiry"`
}

type fileRetry struct {
	After  fileDuration  `yaml:"after"`
	Jitter *fileDuration `yaml:"jitter"` // nil: the default
}

// use has the clients of a group come back.
func (r *fileRetry) use(g *bench.Group) {
	g.Reconnect, g.After, g.Jitter = true, time.Duration(r.After), bench.DefaultJitter
	if r.Jitter != nil {
		g.Jitter = time.Duration(*r.Jitter)
	}
}

type filePhase struct {
	Name      string       `yaml:"name"`
	Do        string       `yaml:"do"`
	Groups    fileNames    `yaml:"groups"`
	For       fileDuration `yaml:"for"`
	Record    *bool        `yaml:"record"`
	Rate      string       `yaml:"rate"` // share of the groups': 50%, or 0%-100%
	Count     int64        `yaml:"count"`
	Quiet     fileDuration `yaml:"quiet"`
	Timeout   fileDuration `yaml:"timeout"`
	Until     string       `yaml:"until"`
	How       string       `yaml:"how"`
	Pick      fileShare    `yaml:"pick"`
	At        fileDuration `yaml:"at"`
	Over      fileDuration `yaml:"over"`
	Command   string       `yaml:"command"`
	Reconnect *fileRetry   `yaml:"reconnect"`
	Actions   []fileAction `yaml:"actions"`
}

type fileAction struct {
	Do      string       `yaml:"do"`
	Groups  fileNames    `yaml:"groups"`
	Pick    fileShare    `yaml:"pick"`
	At      fileDuration `yaml:"at"`
	Over    fileDuration `yaml:"over"`
	Command string       `yaml:"command"`
}

// fileRule is a threshold, or one with more to say about it.
type fileRule struct {
	Expr  string       `yaml:"expr"`
	Abort bool         `yaml:"abort"`
	After fileDuration `yaml:"after"`
}

func (r *fileRule) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		r.Expr = n.Value
		return nil
	}
	type plainRule fileRule
	if n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			if k := n.Content[i]; k.Value != "expr" && k.Value != "abort" && k.Value != "after" {
				return fmt.Errorf("line %d: field %s not found: a threshold has expr, abort and after", k.Line, k.Value)
			}
		}
	}
	return n.Decode((*plainRule)(r))
}

// oneWord reads a value from a word.
func oneWord(n *yaml.Node, read func(string) error) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: one value is wanted", n.Line)
	}
	if err := read(n.Value); err != nil {
		return fmt.Errorf("line %d: %s: %w", n.Line, shown(n.Value), err)
	}
	return nil
}

type fileDuration time.Duration

func (d *fileDuration) UnmarshalYAML(n *yaml.Node) error {
	return oneWord(n, func(s string) error {
		v, err := parseDuration(s)
		*d = fileDuration(v)
		return err
	})
}

type fileRate float64

func (r *fileRate) UnmarshalYAML(n *yaml.Node) error {
	return oneWord(n, rateTo((*float64)(r)))
}

type fileShare float64

func (r *fileShare) UnmarshalYAML(n *yaml.Node) error {
	return oneWord(n, func(s string) error {
		v, err := parseShare(s)
		*r = fileShare(v)
		return err
	})
}

type fileSize struct{ low, high int }

func (z *fileSize) UnmarshalYAML(n *yaml.Node) error {
	return oneWord(n, func(s string) (err error) {
		z.low, z.high, err = readSize(s)
		return err
	})
}

type fileQoS []mqtt.QoS

func (q *fileQoS) UnmarshalYAML(n *yaml.Node) error {
	words := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		words = n.Content
	}
	for _, w := range words {
		if err := oneWord(w, func(s string) error {
			one, err := parseQoS(s)
			*q = append(*q, one)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

type fileNames []string

func (f *fileNames) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		if n.Value != "all" {
			*f = fileNames{n.Value}
		}
		return nil
	}
	return n.Decode((*[]string)(f))
}

// readBenchFile reads a scenario with the changes of --set.
func readBenchFile(b []byte, set []string) (*benchFile, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(b, &root); err != nil {
		return nil, err
	}
	f, err := decodeBenchFile(b)
	if err != nil || len(set) == 0 {
		return f, err
	}
	for _, one := range set {
		if err := setInFile(&root, one); err != nil {
			return nil, err
		}
	}
	if b, err = yaml.Marshal(&root); err != nil {
		return nil, err
	}
	f, err = decodeBenchFile(b)
	if err != nil { // its lines are not those of the file
		return nil, fmt.Errorf("with --set: %w", err)
	}
	return f, nil
}

func decodeBenchFile(b []byte) (*benchFile, error) {
	f := &benchFile{}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(f); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is empty")
		}
		return nil, err
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("version: %d: this program reads version 1", f.Version)
	}
	var order struct {
		Groups yaml.Node `yaml:"groups"`
	}
	if err := yaml.Unmarshal(b, &order); err != nil {
		return nil, err
	}
	for i := 0; i < len(order.Groups.Content); i += 2 {
		f.order = append(f.order, order.Groups.Content[i].Value)
	}
	return f, nil
}

// setInFile changes one value: groups.devices.clients=100, phases.steady.for=5s.
func setInFile(root *yaml.Node, text string) error {
	path, value, ok := strings.Cut(text, "=")
	if !ok || root.Kind != yaml.DocumentNode {
		return &usageError{text: "--set " + shown(text), hint: "write KEY=VALUE, as in groups.devices.clients=100"}
	}
	n := root.Content[0]
	for _, key := range strings.Split(path, ".") {
		next := childOf(n, key)
		if next == nil {
			return &usageError{text: "--set " + shown(path), hint: "there is no " + key + " in it"}
		}
		n = next
	}
	var v yaml.Node
	if err := yaml.Unmarshal([]byte(value), &v); err != nil || len(v.Content) != 1 {
		return &usageError{text: "--set " + shown(text), hint: "the value is not YAML"}
	}
	*n = *v.Content[0]
	return nil
}

// childOf is what stands below a key, made if it is not there; in a list what
// has that name or number.
func childOf(n *yaml.Node, key string) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
		v := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, v)
		return v
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
		for _, c := range n.Content {
			if c.Kind != yaml.MappingNode {
				continue
			}
			if name := childOf(c, "name"); name.Value == key {
				return c
			}
		}
	}
	return nil
}

// runFile is bench run.
func (o *benchOptions) runFile(ctx context.Context, s *Stdio, rest []string) error {
	if o.schema {
		_, err := s.Out.Write(benchSchema)
		return err
	}
	if len(rest) != 1 {
		return &usageError{text: "mqt bench run needs one file", hint: "as in mqt bench run telemetry.yaml"}
	}
	b, err := readFile("mqt bench run", rest[0])
	if err != nil {
		return err
	}
	f, err := readBenchFile(b, o.set)
	if err != nil {
		if _, ok := errors.AsType[*usageError](err); ok {
			return err
		}
		return &usageError{text: rest[0] + ": " + strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n  ", " "), "yaml: ")}
	}
	c, err := o.fileClient(s, f)
	if err != nil {
		return err
	}
	plan, err := o.filePlan(f, c)
	if err != nil {
		return err
	}
	o.outputs = append(o.outputs, f.Outputs...)
	return o.measure(ctx, s, plan, func(ctx context.Context, p *bench.Plan, progress func(bench.Snapshot)) (*bench.Report, error) {
		return bench.RunPlan(ctx, *p, progress)
	})
}

// fileClient takes the server from the file where no flag names one.
func (o *benchOptions) fileClient(s *Stdio, f *benchFile) (client.Options, error) {
	url, err := expandEnv(f.Broker.URL)
	if err != nil {
		return client.Options{}, err
	}
	o.brokerCmd = cmp.Or(o.brokerCmd, f.Broker.Command)
	if f.Broker.Proto != "" && o.connect.version == 0 {
		if err := o.connect.readVersion(f.Broker.Proto); err != nil {
			return client.Options{}, &usageError{text: "broker.proto: " + plain(err)}
		}
	}
	c, err := o.client(s)
	if err != nil || url == "" || o.named() || o.brokerCmd != "" {
		return c, err
	}
	if c.Endpoint, err = transport.ParseURL(url); err != nil {
		return c, &usageError{text: "broker.url: " + plain(err)}
	}
	if c.Endpoint.TLS() {
		if c.DialOptions.TLS, err = o.connect.tls.config(); err != nil {
			return c, err
		}
	}
	o.fromFile = true
	return c, nil
}

// expandEnv fills in ${env:NAME} and ${env:NAME:-DEFAULT}.
func expandEnv(s string) (string, error) {
	rest, ok := strings.CutPrefix(s, "${env:")
	if !ok {
		return s, nil
	}
	name, behind, closed := strings.Cut(rest, "}")
	if !closed {
		return "", &usageError{text: shown(s) + " has no }"}
	}
	name, instead, has := strings.Cut(name, ":-")
	v, set := os.LookupEnv(name)
	if !set && !has {
		return "", &usageError{text: shown(s), hint: "there is no such variable"}
	}
	if !set || v == "" {
		v = instead
	}
	return v + behind, nil
}

// filePlan makes a plan of a file.
func (o *benchOptions) filePlan(f *benchFile, c client.Options) (*bench.Plan, error) {
	p := &bench.Plan{
		Client: c, Dial: benchDial, Name: f.Name, Tool: "mqt " + version(), RunID: o.runID, Seed: cmp.Or(o.seed, f.Seed),
		NoTracking: o.noTracking || f.Track == "none", Keep: o.keep, Precise: o.precise, NoDefaultRules: o.noDefaults, InconclusiveOK: o.inconclusiveOK,
		Shard: o.shard, StartAt: o.startAt,
		Connecting: cmp.Or(o.connecting, f.Connecting), ConnectRate: cmp.Or(o.connectRate, float64(f.ConnRate)),
	}
	if p.RunID == "" {
		p.RunID = fmt.Sprintf("%08x", rand.Uint32()) //nolint:gosec // no secret
	}
	if f.Track != "" && f.Track != "auto" && f.Track != "payload" && f.Track != "none" {
		return nil, &usageError{text: "track: " + shown(f.Track), hint: "it is auto, payload or none"}
	}
	texts, err := benchTexts("--creds", o.creds, p.RunID, p.Seed, o.shards())
	if err != nil {
		return nil, err
	}
	for _, name := range f.order {
		g, err := o.fileGroup(f, p, texts, name)
		if err != nil {
			return nil, err
		}
		p.Groups = append(p.Groups, g)
	}
	if err := f.steps(p); err != nil {
		return nil, err
	}
	for _, r := range f.Thresholds {
		rule, err := bench.ParseRule(r.Expr)
		if err != nil {
			return nil, &usageError{text: plain(err)}
		}
		rule.Abort, rule.After = r.Abort, time.Duration(r.After)
		p.Rules = append(p.Rules, rule)
	}
	return p, o.readRules(&p.Rules)
}
