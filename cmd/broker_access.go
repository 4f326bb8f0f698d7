package cmd

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"mqt/mqtt/access"
	"mqt/mqtt/broker"
)

// brokerAccess is who may connect, and what they may do.
type brokerAccess struct {
	passwords, acl string
	allowAnonymous bool
	certAsUser     broker.CertificateUser
	tokens         tokenOptions
}

func (a *brokerAccess) flags() []*option {
	const g = group("Access (* may change while the broker runs)")
	return []*option{
		g.text("password-file", "* `FILE` with users, as mqt passwd or mosquitto_passwd writes it; MQT_USERS_FILE in the environment, where MQT_PASSWORD_FILE is a client's", &a.passwords).fromOnly("MQT_USERS_FILE").notEmpty(),
		g.text("acl", "* `FILE` with what clients may publish and subscribe to; mosquitto:FILE reads mosquitto's acl_file", &a.acl).notEmpty(),
		g.toggle("allow-anonymous", "let in who names no user, from anywhere and also where there are users; without it and without users, from this machine", &a.allowAnonymous),
		g.value("cert-as-user", "`NAME` of a client's certificate that is its user: cn or san", func(s string) error {
			as, ok := map[string]broker.CertificateUser{"cn": broker.CertificateCN, "san": broker.CertificateSAN}[s]
			if !ok {
				return errors.New("it is cn or san")
			}
			a.certAsUser = as
			return nil
		}).oneOf("cn", "san"),
	}
}

// load reads the files, and fetches what is elsewhere.
func (a *brokerAccess) load(ctx context.Context, o *broker.Options, log *slog.Logger) (err error) {
	o.CertificateUser = a.certAsUser
	if a.allowAnonymous {
		o.Anonymous = broker.AnonymousAll
	}
	if o.Tokens, err = a.tokens.load(ctx, log); err != nil {
		return err
	}
	if a.passwords != "" {
		text, err := readFile("--password-file", a.passwords)
		if err != nil {
			return err
		}
		if o.Users, err = access.ParseUsers(a.passwords, text); err != nil {
			return err
		}
	}
	if a.acl == "" {
		return nil
	}
	file, mosquitto := strings.CutPrefix(a.acl, "mosquitto:")
	text, err := readFile("--acl", file)
	if err != nil {
		return err
	}
	parse := access.ParseACL
	if mosquitto {
		parse = access.ParseMosquittoACL
	}
	o.ACL, err = parse(file, text)
	return err
}

// warning is what to say of a listener that others can reach, "" for nothing.
func (a *brokerAccess) warning() string {
	switch {
	case a.allowAnonymous && a.acl == "":
		return "there is no access control: whoever reaches this address may publish and subscribe"
	case !a.allowAnonymous && a.passwords == "" && a.tokens == (tokenOptions{}) && a.certAsUser == broker.CertificateNone:
		return "clients of other machines are refused: give users with --password-file, or say --allow-anonymous"
	}
	return ""
}
