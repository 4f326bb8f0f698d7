package cmd

import (
	"fmt"
	"strings"
)

// spareDescriptors are what this process needs beside its connections.
const spareDescriptors = 64

// preflight is what a run needs of the machine.
type preflight struct {
	clients    int
	ownBroker  bool // the server's side of the connections is in this process as well
	sources    int  // addresses to connect from; 0: one
	descriptor bool // the target is a Unix socket, which takes no port
}

// need is what is short, and the command that helps.
type need struct {
	what    string
	have    uint64
	want    uint64
	command string
}

// shortage compares with the limits of this machine, 0 for those that are not
// known.
func (p preflight) shortage(files, low, high uint64) []need {
	var all []need
	want := uint64(p.clients + spareDescriptors)
	if p.ownBroker {
		want += uint64(p.clients)
	}
	if files > 0 && want > files {
		all = append(all, need{"file descriptors", files, want, fmt.Sprintf("ulimit -n %d", want)})
	}
	if high < low || p.descriptor || high == 0 {
		return all
	}
	ports, addresses := high-low+1, uint64(max(1, p.sources))
	if clients := uint64(p.clients); clients > ports*addresses {
		command := "sudo sysctl -w net.ipv4.ip_local_port_range='1024 65535'"
		if n := (clients + 64511) / 64512; n > addresses {
			command += fmt.Sprintf(", and --source-ip with %d addresses", n)
		} else {
			command += fmt.Sprintf(", or give --source-ip with %d addresses", (clients+ports-1)/ports)
		}
		all = append(all, need{"local ports", ports * addresses, clients, command})
	}
	return all
}

// check is the error for what is short, nil if nothing is.
func (p preflight) check() error {
	files, low, high := machineLimits()
	short := p.shortage(files, low, high)
	if len(short) == 0 {
		return nil
	}
	var text, hints []string
	for _, n := range short {
		text = append(text, fmt.Sprintf("%d clients need %d %s, and there are %d", p.clients, n.want, n.what, n.have))
		hints = append(hints, "run: "+n.command)
	}
	return &exitError{code: exitFailed, err: &usageError{text: strings.Join(text, "; "), hint: strings.Join(hints, "; ")}}
}
