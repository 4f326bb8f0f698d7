package cmd

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"

	"mqt/mqtt/transport"
)

// parseOrigin reads what a browser says of the page that a request is from
// (RFC 6454, 6.2), in the spelling that origins are compared in.
func parseOrigin(s string) (string, error) {
	if s == "null" || s == anyOrigin { // a page without an origin, such as a file
		return s, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Hostname() == "" || !strings.EqualFold(s, u.Scheme+"://"+u.Host) {
		return "", errors.New("it is as https://example.org or https://example.org:8443, without a path")
	}
	host := u.Host
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443") // no browser sends it
	} else if u.Scheme == "http" {
		host = strings.TrimSuffix(host, ":80")
	}
	return strings.ToLower(u.Scheme + "://" + host), nil
}

// anyOrigin lets every page in.
const anyOrigin = "*"

// originCheck lets the pages in that were named; nil: any. Where none was, those
// of the host that the listener is called by, and to a listener that only this
// machine reaches those of this machine: no page of another site can use the
// broker by the browser of somebody who can reach it. Who sends no Origin is no
// page and is not asked.
func originCheck(allowed []string, local bool) func(origin, host string) bool {
	switch {
	case slices.Contains(allowed, anyOrigin):
		return nil
	case len(allowed) == 0:
		return func(origin, host string) bool { return sameHost(origin, host, local) }
	}
	return func(origin, _ string) bool {
		o, err := parseOrigin(origin)
		return err == nil && o != anyOrigin && slices.Contains(allowed, o)
	}
}

// sameHost compares names without ports, for the page mostly comes from another
// server of the host. A name that leads a browser to its own machine may be
// anybody's (DNS rebinding); only https proves it, as a proxy in front speaks it.
func sameHost(origin, host string, local bool) bool {
	page, err := url.Parse(origin)
	if err != nil || page.Hostname() == "" {
		return false
	}
	called, err := url.Parse("//" + host)
	if err != nil {
		return false
	}
	switch {
	case local && loopback(page.Hostname()):
		return true
	case local && !strings.EqualFold(page.Scheme, "https"):
		return false
	}
	return strings.EqualFold(page.Hostname(), called.Hostname())
}

// loopback tells that a host is this machine, by name or address.
func loopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// loopbackEndpoint tells that only this machine reaches a listener there. One
// without a port is a file.
func loopbackEndpoint(e *transport.Endpoint) bool { return e.Port == "" || loopback(e.Host) }

func (g group) origins(dst *[]string) *option {
	o := g.value("ws-origin", "`ORIGIN` of the pages that may use ws and wss, as https://example.org; * for any; may be repeated (default: those of the host that they call)", func(s string) error {
		origin, err := parseOrigin(s)
		*dst = append(*dst, origin)
		return err
	})
	o.repeats = true
	return o
}
