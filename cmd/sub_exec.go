package cmd

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"mqt/format"
	"mqt/mqtt"
	"mqt/mqtt/client"
)

// execOptions are the flags of --exec.
type execOptions struct {
	command  string
	parallel int
	timeout  time.Duration
	fail     string

	given []*option
}

// What becomes of a message whose command failed.
const (
	failContinue = "continue" // it is left in the session
	failRefuse   = "refuse"   // the server is told so, and forgets it
	failStop     = "stop"     // the run ends
)

// execKilled is how long a command may take to end once it was told to.
const execKilled = 2 * time.Second

// maxLeft is how many messages are left in the session before the run ends:
// servers stop sending at 20 or so that are not acknowledged.
const maxLeft = 16

func (o *execOptions) flags(g group) []*option {
	o.parallel, o.fail = 1, failContinue
	o.given = []*option{
		number(g, "exec-parallel", "`NUMBER` of commands that run at a time (default: 1, which keeps the order)", &o.parallel, 1, 1024),
		g.value("exec-timeout", "`TIME` after which a command is ended, and has failed (default: none)", positive(&o.timeout)),
		g.value("exec-fail", "`WHAT` when a command fails: continue (its message is not acknowledged, and stays in a kept session), "+
			"refuse (MQTT 5: the server is told, and forgets it) or stop (default: continue)", o.readFail).oneOf(failContinue, failRefuse, failStop),
	}
	return append([]*option{
		g.text("exec", "run `COMMAND` by the shell for each message: payload as stdin, MQTT_TOPIC and so on in its environment", &o.command).notEmpty(),
	}, o.given...)
}

func (o *execOptions) readFail(s string) error {
	if s != failContinue && s != failRefuse && s != failStop {
		return errors.New("it is continue, refuse or stop")
	}
	o.fail = s
	return nil
}

func (o *execOptions) contradictions() error {
	for _, f := range o.given {
		if f.origin == fromArgs && o.command == "" {
			return &usageError{text: f.typed + " without a command", hint: "add --exec COMMAND"}
		}
	}
	return nil
}

// executor runs a command for each message.
type executor struct {
	o     *execOptions
	s     *Stdio
	ctx   context.Context // ends the commands
	end   func(error)     // ends the run
	slots chan struct{}
	under sync.WaitGroup

	running atomic.Int32

	mu     sync.Mutex
	runs   int
	failed map[string]int // by how
	left   int            // messages that were left in the session
}

func newExecutor(o *execOptions, s *Stdio) *executor {
	return &executor{o: o, s: s, slots: make(chan struct{}, o.parallel), failed: make(map[string]int)}
}

// begin is given what ends the commands, and how they end the run.
func (e *executor) begin(ctx context.Context, end func(error)) { e.ctx, e.end = ctx, end }

// reserve waits until there is room for one more command. It comes before the
// message is printed, so that prints and what commands print stay in order.
func (e *executor) reserve(ctx context.Context) error {
	select {
	case e.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if ctx.Err() != nil { // the one before has failed
		e.release()
		return context.Cause(ctx)
	}
	return nil
}

func (e *executor) release() { <-e.slots }

// start runs the command for one message in the room that was reserved.
func (e *executor) start(d *client.Delivery, m *format.Received) {
	e.running.Add(1)
	own := *m
	e.under.Go(func() {
		e.handle(d, &own)
		e.running.Add(-1)
		e.release()
	})
}

// handle runs the command and settles the message.
func (e *executor) handle(d *client.Delivery, m *format.Received) {
	err := e.run(m)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.runs++
	switch {
	case err == nil:
		d.Ack()
		return
	case e.ctx.Err() != nil: // we ended it
		return
	}
	e.failed[err.Error()]++
	fmt.Fprintf(e.s.Err, "mqt sub: --exec: %s: %v\n", format.AppendEscaped(nil, m.Topic), err)
	switch {
	case e.o.fail == failStop:
		e.end(errExecFailed)
	case d.QoS == mqtt.QoS0:
	case e.o.fail == failRefuse:
		d.Refuse(mqtt.UnspecifiedError)
	default:
		d.Leave()
		if e.left++; e.left == maxLeft {
			fmt.Fprintf(e.s.Err, "mqt sub: --exec: %d messages are not acknowledged; the server may send no more of them\n", maxLeft)
			e.end(errExecFailed)
		}
	}
}

// errExecFailed ends a run, which finish explains.
var errExecFailed = errors.New("a command failed")

// run runs the command once.
func (e *executor) run(m *format.Received) error {
	ctx := e.ctx
	if e.o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.o.timeout)
		defer cancel()
	}
	c := shellCommand(ctx, e.o.command)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(m.Payload), e.s.Out, e.s.Err
	c.Env = execEnviron(os.Environ(), m)
	c.WaitDelay = execKilled
	err := c.Run()
	killRest(c)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && e.ctx.Err() == nil:
		return fmt.Errorf("it took longer than %v", e.o.timeout)
	case errors.Is(err, exec.ErrWaitDelay):
		return nil // it ended well, but did not read its stdin
	}
	return err
}

// finish waits for the commands, and tells how many failed.
func (e *executor) finish() error {
	e.under.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.failed) == 0 {
		return nil
	}
	all, hows := 0, make([]string, 0, len(e.failed))
	for how, n := range e.failed {
		all += n
		hows = append(hows, fmt.Sprintf("%s: %d", how, n))
	}
	slices.Sort(hows)
	return &exitError{code: exitFailed, err: fmt.Errorf("%d of %d commands failed (%s)", all, e.runs, strings.Join(hows, ", "))}
}

// The variables of a message. What is not said of it is not in the environment.
const (
	envPrefix       = "MQTT_"
	envUserProperty = "MQTT_USER_PROPERTY_"
	envUsers        = "MQTT_USER_PROPERTIES"
	envBase64       = "_BASE64"
)

// execNames are the variables beside those of user properties.
func execNames() []string {
	return []string{"MQTT_TOPIC", "MQTT_QOS", "MQTT_RETAIN", "MQTT_DUP", "MQTT_MESSAGE_ID", "MQTT_PAYLOAD_FORMAT_INDICATOR", "MQTT_MESSAGE_EXPIRY_INTERVAL",
		"MQTT_CONTENT_TYPE", "MQTT_RESPONSE_TOPIC", "MQTT_CORRELATION_DATA", "MQTT_CORRELATION_DATA" + envBase64, "MQTT_SUBSCRIPTION_IDENTIFIER", envUsers}
}

// execEnviron is the environment of a command. Values are the message's and
// names are ours: a sender can set nothing else.
func execEnviron(environ []string, m *format.Received) []string {
	names := execNames()
	env := slices.DeleteFunc(environ, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(names, name) || strings.HasPrefix(name, envUserProperty)
	})
	set := func(name, value string) {
		if strings.IndexByte(value, 0) < 0 { // it could not be passed on
			env = append(env, name+"="+value)
		}
	}
	set("MQTT_TOPIC", m.Topic)
	set("MQTT_QOS", strconv.Itoa(int(m.QoS)))
	set("MQTT_RETAIN", strconv.Itoa(bit(m.Retain)))
	set("MQTT_DUP", strconv.Itoa(bit(m.Dup)))
	if m.PacketID != 0 {
		set("MQTT_MESSAGE_ID", strconv.Itoa(int(m.PacketID)))
	}
	if len(m.SubscriptionIdentifiers) > 0 {
		ids := make([]string, len(m.SubscriptionIdentifiers))
		for i, id := range m.SubscriptionIdentifiers {
			ids[i] = strconv.FormatUint(uint64(id), 10)
		}
		set("MQTT_SUBSCRIPTION_IDENTIFIER", strings.Join(ids, " "))
	}
	users := make(map[string]bool)
	for i := range m.Properties {
		p := &m.Properties[i]
		name := envPrefix + envWord(p.ID.String())
		switch {
		case p.ID == mqtt.UserProperty:
			if name = envUserProperty + envWord(string(p.Key)); !users[name] { // the first of a name
				users[name] = true
				set(name, string(p.Value))
			}
		case p.ID.IsNumber():
			set(name, strconv.FormatUint(uint64(p.Number), 10))
		case p.ID.IsBinary() && (!utf8.Valid(p.Value) || bytes.IndexByte(p.Value, 0) >= 0):
			set(name+envBase64, base64.StdEncoding.EncodeToString(p.Value))
		default:
			set(name, string(p.Value))
		}
	}
	if len(users) > 0 {
		set(envUsers, usersJSON(m))
	}
	return env
}

// usersJSON are all user properties in their order, in the shape of --json.
func usersJSON(m *format.Received) string {
	var all []map[string]string
	for _, p := range m.Properties {
		if p.ID == mqtt.UserProperty {
			all = append(all, map[string]string{string(p.Key): string(p.Value)})
		}
	}
	text, _ := json.Marshal(all) // it can be: texts alone
	return string(text)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// envWord is text as a part of a variable's name: capital letters, digits, and _
// for everything else.
func envWord(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, text)
}
