package cmd

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// parseOrigin reads what a browser says of the page that a request is from
// (RFC 6454, 6.2), in the spelling that origins are compared in.
func parseOrigin(s string) (string, error) {
	if s == "null" { // a page without an origin, such as a file
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

// originCheck lets the pages in that were named; nil: any.
func originCheck(allowed []string) func(origin, host string) bool {
	if len(allowed) == 0 {
		return nil
	}
	return func(origin, _ string) bool {
		o, err := parseOrigin(origin)
		return err == nil && slices.Contains(allowed, o)
	}
}

func (g group) origins(dst *[]string) *option {
	o := g.value("ws-origin", "`ORIGIN` of the pages that may use ws and wss, as https://example.org; may be repeated (default: any)", func(s string) error {
		origin, err := parseOrigin(s)
		*dst = append(*dst, origin)
		return err
	})
	o.repeats = true
	return o
}
