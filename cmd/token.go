package cmd

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"

	"mqt/mqtt/client"
)

// tokenSource is --token-command: it keeps the token while that is good.
type tokenSource struct {
	command string
	stderr  io.Writer

	mu     sync.Mutex
	token  []byte
	renew  time.Time // when the next one is due; zero: it does not say
	method string    // of enhanced authentication, "" for a password
}

// use has the token as the password, or by the method of --auth-method.
func (t *tokenSource) use(c *client.Options) {
	c.Credentials = t.credentials
	if t.method == "" {
		return
	}
	c.Username, c.HasUsername, c.Password = "", false, nil
	c.Authentication = &client.Authentication{Method: t.method, Until: t.until, Begin: func() client.AuthenticationStep {
		return func(_ []byte, done bool) ([]byte, error) {
			if done {
				return nil, nil
			}
			return t.last(), nil
		}
	}}
}

func (t *tokenSource) until() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.renew
}

func (t *tokenSource) last() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token
}

// credentials runs the command unless the last token is good for a while.
func (t *tokenSource) credentials(ctx context.Context, renew bool) ([]byte, error) {
	if at := t.until(); renew || t.last() == nil || !at.IsZero() && !time.Now().Before(at) {
		ctx, cancel := context.WithTimeout(ctx, commandTimeout)
		defer cancel()
		out, err := commandOutput(ctx, "--token-command", t.command, t.stderr)
		if err != nil {
			return nil, err
		}
		token, left, err := readToken(out)
		if err != nil {
			return nil, &commandError{fmt.Errorf("--token-command: %w", err)}
		}
		t.mu.Lock()
		t.token, t.renew = token, time.Time{}
		if left > 0 {
			t.renew = time.Now().Add(left - min(left/5, tokenMargin))
		}
		t.mu.Unlock()
	}
	if t.method != "" {
		return nil, nil
	}
	return t.last(), nil
}

// tokenMargin is how long before its end a token is renewed, or a fifth of its
// life.
const tokenMargin = 30 * time.Second

// readToken takes the token out of what a command printed: the token alone, or
// the answer of an OAuth 2.0 server (RFC 6749, section 5.1). left is how long it
// is good, 0 if it does not say.
func readToken(out []byte) (token []byte, left time.Duration, err error) {
	out = bytes.TrimSpace(out)
	if !bytes.HasPrefix(out, []byte("{")) {
		token = firstLine(out)
		if len(token) > 65_535 {
			return nil, 0, errors.New("the token is longer than 65,535 bytes")
		}
		return token, jwtLeft(token), nil
	}
	var answer struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	if err := json.Unmarshal(out, &answer); err != nil || answer.AccessToken == "" {
		return nil, 0, errors.New("it printed JSON without an access_token")
	}
	token = []byte(answer.AccessToken)
	if left = seconds(answer.ExpiresIn); left <= 0 {
		left = jwtLeft(token)
	}
	return token, left, nil
}

// jwtLeft reads the claim exp of a JSON Web Token (RFC 7519, section 4.1.4),
// whose signature is the server's matter. It is 0 for other tokens.
func jwtLeft(token []byte) time.Duration {
	parts := strings.Split(string(token), ".")
	if len(parts) != 3 {
		return 0
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct {
		Exp float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(claims, &c) != nil || c.Exp <= 0 {
		return 0
	}
	return max(seconds(c.Exp-float64(time.Now().UnixMilli())/1000), time.Millisecond)
}

// seconds is a time that fits.
func seconds(n float64) time.Duration {
	return time.Duration(math.Min(math.Max(n, 0), 1e9) * float64(time.Second))
}
