package remit

import (
	"strings"
)

// Allowance is what a task asks for: a [Permission], a [Capability], the offer of a refusal ([Permissions]), or [AllOf] several.
type Allowance interface{ addTo(*needs) }

// needs are the permissions and capabilities of one request.
type needs struct {
	permissions  []Permission
	capabilities []Capability
}

// Condition is one IAM condition, such as StringLike on s3:prefix with 2026/*.
type Condition struct {
	Operator string
	Key      string
	Values   []string
}

func (c Condition) String() string {
	return c.Operator + " " + c.Key + " " + strings.Join(c.Values, ", ")
}

// Permission allows every action on every resource it names while all its conditions hold. Actions are IAM action patterns
// (s3:GetObject), resources are ARN patterns.
type Permission struct {
	Actions    []string
	Resources  []string
	Conditions []Condition
}

// Permit returns the permission for one action on one resource.
func Permit(action, resource string) Permission {
	return Permission{Actions: []string{action}, Resources: []string{resource}}
}

func (p Permission) String() string {
	text := strings.Join(p.Actions, ", ") + " on " + strings.Join(p.Resources, ", ")
	for _, condition := range p.Conditions {
		text += " when " + condition.String()
	}
	return text
}

func (p Permission) addTo(n *needs) { n.permissions = append(n.permissions, p) }

// Permissions are several permissions, such as the offer of a refusal.
type Permissions []Permission

func (p Permissions) String() string {
	texts := make([]string, len(p))
	for i, permission := range p {
		texts[i] = permission.String()
	}
	return strings.Join(texts, "; ")
}

func (p Permissions) addTo(n *needs) { n.permissions = append(n.permissions, p...) }

// Capability asks for a named permission template of the gateway's catalogue, its parameters taken literally.
type Capability struct {
	Name       string
	Parameters map[string]string
}

func (c Capability) addTo(n *needs) { n.capabilities = append(n.capabilities, c) }

// AllOf returns all of these together.
func AllOf(allowances ...Allowance) Allowance { return several(allowances) }

type several []Allowance

func (s several) addTo(n *needs) {
	for _, allowance := range s {
		allowance.addTo(n)
	}
}
