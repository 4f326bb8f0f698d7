package access

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// vector is the exchange of RFC 7677, section 3, and the same with SHA-512,
// which was computed by Python's hashlib and hmac.
type vector struct{ method, verifier, proof, signature string }

const (
	vectorClientNonce = "rOprNGfwEbeRWgbNEkqO"
	vectorServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	vectorFirst       = "n,,n=user,r=" + vectorClientNonce
	vectorChallenge   = "r=" + vectorClientNonce + vectorServerNonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	vectorFinal       = "c=biws,r=" + vectorClientNonce + vectorServerNonce
)

func vectors() []vector {
	return []vector{{
		ScramSHA256,
		"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
	}, {
		ScramSHA512,
		"SCRAM-SHA-512$4096:W22ZaJ0SNY7soEsUEjb6gQ==$6AAub3065EYRmyFpM2RNwqK+eGnrkYuEWbXn19LsEmBqzu8QaCXNc1FwpnX9NhH2hK/60dzj9DoO5DvVkOHbvg==:jZHbYjC1aHh0/hKbxyBuGFjDrgjgKTT1esA7awWiKcRZ0o/0b1yWEebBeSVkkCFewf91nLDfKF24mvD5nmE6rA==",
		"gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
		"ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
	}}
}

func users(t testing.TB, text string) *Users {
	t.Helper()
	u, err := ParseUsers("users", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// vectorScram begins the exchange of the vectors.
func vectorScram(t testing.TB, v vector) *Scram {
	t.Helper()
	server, ok := users(t, "user:"+v.verifier).scramServer(v.method)
	if !ok {
		t.Fatal("no verifier")
	}
	return &Scram{conv: server.WithNonceGenerator(func() string { return vectorServerNonce }).NewConversation()}
}

func TestScramVectors(t *testing.T) {
	for _, v := range vectors() {
		s := vectorScram(t, v)
		answer, user, err := s.Step([]byte(vectorFirst))
		if err != nil || string(answer) != vectorChallenge || user != "" {
			t.Fatalf("%s: %q, %q, %v", v.method, answer, user, err)
		}
		answer, user, err = s.Step([]byte(vectorFinal + ",p=" + v.proof))
		if err != nil || string(answer) != "v="+v.signature || user != "user" {
			t.Fatalf("%s: %q, %q, %v", v.method, answer, user, err)
		}
		if _, user, err = s.Step([]byte(vectorFinal + ",p=" + v.proof)); !errors.Is(err, ErrScram) || user != "" {
			t.Errorf("%s: a third message: %q, %v", v.method, user, err)
		}
	}
}

// What a peer may try in each of the two steps.
func TestScramRefuses(t *testing.T) {
	proof := vectors()[0].proof
	for _, c := range []struct {
		name, first, final string
		want               error
	}{
		{"nothing", "", "", ErrScram},
		{"no gs2 header", "n=user,r=x", "", ErrScram},
		{"channel binding, which is not offered", "p=tls-unique,,n=user,r=x", "", ErrScram},
		{"an extension that must be understood", "n,,m=x,n=user,r=x", "", ErrScram},
		{"no user name", "n,,n=,r=" + vectorClientNonce, "", ErrScram},
		{"no nonce", "n,,n=user,r=", "", ErrScram},
		{"no nonce but an extension", "n,,n=user,r=,x=y", "", ErrScram},
		{"space in the nonce", "n,,n=user,r=a b", "", ErrScram},
		{"NUL in the nonce", "n,,n=user,r=a\x00b", "", ErrScram},
		{"DEL in the nonce", "n,,n=user,r=a\x7f", "", ErrScram},
		{"nonce not ASCII", "n,,n=user,r=\u00e4", "", ErrScram},
		{"nonce not UTF-8", "n,,n=user,r=\xff", "", ErrScram},
		{"comma in the nonce", "n,,n=user,r=a,b", "", ErrScram},
		{"broken escape", "n,,n=a=2,r=x", "", ErrScram},
		{"user name not UTF-8", "n,,n=\xff,r=x", "", ErrScram},
		{"too long", "n,,n=" + strings.Repeat("x", maxScram) + ",r=x", "", ErrScram},
		{"for somebody else", "n,a=root,n=user,r=x", "", ErrProof},
		{"final first", vectorFinal + ",p=" + proof, "", ErrScram},
		{"first twice", vectorFirst, vectorFirst, ErrScram},
		{"no proof", vectorFirst, vectorFinal, ErrScram},
		{"proof of another length", vectorFirst, vectorFinal + ",p=AAAA", ErrScram},
		{"another proof", vectorFirst, vectorFinal + ",p=" + strings.Repeat("A", 43) + "=", ErrProof},
		{"another nonce", vectorFirst, "c=biws,r=" + vectorClientNonce + ",p=" + proof, ErrScram},
		{"another gs2 header", vectorFirst, strings.Replace(vectorFinal, "biws", "eSws", 1) + ",p=" + proof, ErrScram},
		{"an extension was added", vectorFirst, vectorFinal + ",x=y,p=" + proof, ErrProof},
	} {
		s := vectorScram(t, vectors()[0])
		_, user, err := s.Step([]byte(c.first))
		if err == nil && c.final != "" {
			_, user, err = s.Step([]byte(c.final))
		}
		if !errors.Is(err, c.want) || user != "" {
			t.Errorf("%s: user %q, %v, want %v", c.name, user, err, c.want)
		}
	}
}

// A user who does not exist, and one who has another kind of hash, are asked
// what others are asked, the same each time, and fail at the end.
func TestScramHidesWhoExists(t *testing.T) {
	v := vectors()[0]
	text := "user:" + v.verifier + "\nplain:" + Hash([]byte("pencil")) + "\n"
	challenge := func(name string) (nonce, rest string, s *Scram) {
		s, ok := users(t, text).Scram(ScramSHA256)
		if !ok {
			t.Fatal("no method")
		}
		answer, _, err := s.Step([]byte("n,,n=" + name + ",r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		nonce, rest, _ = strings.Cut(string(answer), ",")
		return nonce, rest, s
	}
	_, real, _ := challenge("user")
	salts := map[string]bool{real: true}
	for _, name := range []string{"nobody", "plain", "Nobody"} {
		nonce, first, s := challenge(name)
		other, second, _ := challenge(name)
		if first != second || nonce == other || salts[first] {
			t.Errorf("%s: %q, then %q", name, first, second)
		}
		salts[first] = true
		if len(first) != len(real) || !strings.HasSuffix(first, ",i=4096") {
			t.Errorf("%s: %q does not look like %q", name, first, real)
		}
		c, err := scram.SHA256.NewClient(name, "pencil", "")
		if err != nil {
			t.Fatal(err)
		}
		conv := c.WithNonceGenerator(func() string { return "abc" }).NewConversation()
		_, _ = conv.Step("")
		final, err := conv.Step(nonce + "," + first)
		if err != nil {
			t.Fatal(err)
		}
		if _, user, err := s.Step([]byte(final)); !errors.Is(err, ErrProof) || user != "" {
			t.Errorf("%s: %q, %v, want ErrProof", name, user, err)
		}
	}
}

// HashScram makes a line that serves both methods, and a password in CONNECT.
func TestHashScram(t *testing.T) {
	hash, err := HashScram("pencil", minIterations)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(hash, "pencil") {
		t.Error("the password is in the hash")
	}
	u := users(t, "user:"+hash)
	if !u.Verify("user", []byte("pencil")) || u.Verify("user", []byte("Pencil")) || u.Verify("nobody", []byte("pencil")) || u.Verify("user", []byte("\xff")) {
		t.Error("Verify")
	}
	for method, gen := range map[string]scram.HashGeneratorFcn{ScramSHA256: scram.SHA256, ScramSHA512: scram.SHA512} {
		for password, good := range map[string]bool{"pencil": true, "pen": false} {
			s, ok := u.Scram(method)
			if !ok {
				t.Fatal("no " + method)
			}
			c, err := gen.NewClient("user", password, "")
			if err != nil {
				t.Fatal(err)
			}
			conv := c.NewConversation()
			first, _ := conv.Step("")
			answer, _, _ := s.Step([]byte(first))
			final, _ := conv.Step(string(answer))
			answer, user, err := s.Step([]byte(final))
			if (err == nil && user == "user") != good {
				t.Errorf("%s with %q: %q, %v", method, password, user, err)
			}
			if _, err := conv.Step(string(answer)); good && (err != nil || !conv.Valid()) {
				t.Errorf("%s: the client does not believe the server: %v", method, err)
			}
		}
	}
	if _, err := HashScram("pencil", minIterations-1); err == nil {
		t.Error("too few iterations are taken")
	}
	if _, err := HashScram("\u0007", minIterations); err == nil {
		t.Error("SASLprep is not done")
	}
	if _, ok := users(t, "user:"+Hash([]byte("x"))).Scram(ScramSHA256); ok {
		t.Error("a method that nobody has a verifier for is offered")
	}
	if _, ok := u.Scram("SCRAM-SHA-1"); ok {
		t.Error("SCRAM-SHA-1 is offered")
	}
}

func TestParseVerifier(t *testing.T) {
	good := vectors()[0].verifier
	for _, c := range []struct{ old, new string }{
		{"SCRAM-SHA-256", "SCRAM-SHA-1"}, {"SCRAM-SHA-256", "SCRAM-SHA-512"}, {"4096", "4095"}, {"4096", "10000001"}, {"4096", "04096"},
		{"4096", "-4096"}, {"4096", "+4096"}, {"4096", ""}, {"4096:", "4096"}, {"W22Za", "W22Z"}, {"W22ZaJ0SNY7soEsUEjb6gQ==", ""},
		{"WG5d", ""}, {"WG5d", "WG5\n"}, {"=:wf", "=wf"}, {"U=", "U"}, {"U=", "U=$"}, {"U=", "U= "}, {"2dU=", "2dV="},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if v, err := ParseVerifier(text); err == nil {
			t.Errorf("%q is read as %+v", text, v)
		} else if strings.Contains(err.Error(), "WG5d8o") {
			t.Errorf("the error tells the key: %v", err)
		}
	}
	if _, err := ParseUsers("users", []byte(fmt.Sprintf("user:%s %s\n", good, good))); err == nil {
		t.Error("the same method twice")
	}
}

func FuzzParseVerifier(f *testing.F) {
	for _, v := range vectors() {
		f.Add(v.verifier)
	}
	f.Add("SCRAM-SHA-256$4096:$:")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVerifier(s)
		if err != nil {
			return
		}
		if v.String() != s {
			t.Errorf("%q is written as %q", s, v.String())
		}
	})
}

func FuzzScram(f *testing.F) {
	v := vectors()[0]
	f.Add([]byte(vectorFirst), []byte(vectorFinal+",p="+v.proof))
	f.Add([]byte("y,a=user,n=user,r=,"), []byte("c=eSxhPXVzZXIs,r=,p="))
	f.Add([]byte("r="), []byte("y,,n=0,r=0")) // nothing follows an error
	f.Fuzz(func(t *testing.T, first, final []byte) {
		s := vectorScram(t, v)
		answer, user, err := s.Step(first)
		if user != "" || err != nil && answer != nil {
			t.Errorf("%q, %q, %v after one message", answer, user, err)
		}
		answer, user, err = s.Step(final)
		if (err == nil) != (user != "") || err != nil && answer != nil {
			t.Errorf("%q, %q, %v after two", answer, user, err)
		}
	})
}
