// The same injection as a controller-runtime webhook has it: a typed Pod, a defaulter that changes it, and the patch
// made by comparing. Takes the address, the directory with tls.crt and tls.key, and a file with the teams in JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const group = "kagents.dev/"

type source struct {
	ConfigMap string `json:"configMap"`
	OCI       string `json:"oci"`
}

type skill struct {
	Name   string `json:"name"`
	Source source `json:"source"`
}

type agent struct {
	Name   string  `json:"name"`
	Skills []skill `json:"skills"`
}

type team struct {
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets"`
		Skills           []skill                       `json:"skills"`
		Lead             agent                         `json:"lead"`
		Teammates        []agent                       `json:"teammates"`
	} `json:"spec"`
}

// Record is the annotation that says what was injected.
type record struct {
	Team       string     `json:"team"`
	Agent      string     `json:"agent"`
	Generation int64      `json:"generation"`
	Delivery   string     `json:"delivery"`
	Skills     []injected `json:"skills"`
}

type injected struct {
	Name      string `json:"name"`
	ConfigMap string `json:"configMap,omitempty"`
	OCI       string `json:"oci,omitempty"`
}

type injector struct{ teams map[string]*team }

func (i *injector) Default(ctx context.Context, pod *corev1.Pod) error {
	request, err := admission.RequestFromContext(ctx)
	if err != nil {
		return err
	}
	team, found := i.teams[request.Namespace+"/"+pod.Labels[group+"agent-team"]]
	if !found {
		return fmt.Errorf("there is no such team")
	}
	name := pod.Labels[group+"agent"]
	skills := slices.Clone(team.Spec.Skills)
	if name == "lead" {
		skills = append(skills, team.Spec.Lead.Skills...)
	}
	for _, mate := range team.Spec.Teammates {
		if mate.Name == name {
			skills = append(skills, mate.Skills...)
		}
	}
	at := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == "claude-code" })
	if at < 0 {
		return fmt.Errorf("there is no container named claude-code")
	}
	inject(pod, &pod.Spec.Containers[at], team, name, skills)
	return nil
}

func inject(pod *corev1.Pod, container *corev1.Container, team *team, agent string, skills []skill) {
	written := record{Team: team.Metadata.Name, Agent: agent, Delivery: "oras"}
	var pullers []corev1.Container
	for _, skill := range skills {
		volume := "skill-" + skill.Name
		written.Skills = append(written.Skills, injected{Name: skill.Name, ConfigMap: skill.Source.ConfigMap, OCI: skill.Source.OCI})
		if skill.Source.ConfigMap != "" {
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{
				ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: skill.Source.ConfigMap}},
			}})
		} else {
			pod.Spec.Volumes = append(pod.Spec.Volumes, emptyDir(volume, "64Mi"))
			pullers = append(pullers, puller(skill, volume, user(pod, container), team))
		}
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: "/var/claude-skills/" + skill.Name, ReadOnly: true})
	}
	if len(pullers) > 0 {
		pod.Spec.Volumes = append(pod.Spec.Volumes, emptyDir("pull-skills-tmp", "64Mi"), emptyDir("pull-skills-no-token", "1Mi"))
		for _, secret := range team.Spec.ImagePullSecrets {
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "skill-auth", VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: secret.Name, Items: []corev1.KeyToPath{{Key: ".dockerconfigjson", Path: "config.json"}}},
			}})
		}
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, team.Spec.ImagePullSecrets...)
		pod.Spec.InitContainers = append(pullers, pod.Spec.InitContainers...)
	}
	text, _ := json.Marshal(written)
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[group+"skills"] = string(text)
}

// User is the agent's, unless that is root or nobody says.
func user(pod *corev1.Pod, container *corev1.Container) int64 {
	var named *int64
	if pod.Spec.SecurityContext != nil {
		named = pod.Spec.SecurityContext.RunAsUser
	}
	if container.SecurityContext != nil && container.SecurityContext.RunAsUser != nil {
		named = container.SecurityContext.RunAsUser
	}
	if named != nil && *named > 0 {
		return *named
	}
	return 65532
}

func emptyDir(name, limit string) corev1.Volume {
	quantity := resource.MustParse(limit)
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &quantity}}}
}

func puller(skill skill, volume string, user int64, team *team) corev1.Container {
	yes, no := true, false
	container := corev1.Container{
		Name:    "pull-" + volume,
		Image:   "ghcr.io/oras-project/oras:v1.2.0",
		Command: []string{"oras", "pull", "--no-tty", "--output", "/skill-out", skill.Source.OCI},
		Env:     []corev1.EnvVar{{Name: "TMPDIR", Value: "/tmp"}},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": resource.MustParse("10m"), "memory": resource.MustParse("32Mi")},
			Limits:   corev1.ResourceList{"cpu": resource.MustParse("1"), "memory": resource.MustParse("256Mi")},
		},
		SecurityContext: &corev1.SecurityContext{
			RunAsUser: &user, RunAsNonRoot: &yes, AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		VolumeMounts: []corev1.VolumeMount{
			{Name: volume, MountPath: "/skill-out"},
			{Name: "pull-skills-tmp", MountPath: "/tmp"},
			{Name: "pull-skills-no-token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true},
		},
	}
	if len(team.Spec.ImagePullSecrets) > 0 {
		container.Env = append(container.Env, corev1.EnvVar{Name: "DOCKER_CONFIG", Value: "/auth/.docker"})
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: "skill-auth", MountPath: "/auth/.docker", ReadOnly: true})
	}
	return container
}

func main() {
	address, certificates, teams := os.Args[1], os.Args[2], os.Args[3]
	text, err := os.ReadFile(teams)
	check(err)
	var list struct{ Items []*team }
	check(json.Unmarshal(text, &list))
	known := map[string]*team{}
	for _, team := range list.Items {
		known[strings.Join([]string{team.Metadata.Namespace, team.Metadata.Name}, "/")] = team
	}

	ctrl.SetLogger(zap.New())
	scheme := runtime.NewScheme()
	check(corev1.AddToScheme(scheme))
	host, port, err := net.SplitHostPort(address)
	check(err)
	number, err := strconv.Atoi(port)
	check(err)
	server := webhook.NewServer(webhook.Options{Host: host, Port: number, CertDir: certificates})
	server.Register("/mutate", admission.WithDefaulter[*corev1.Pod](scheme, &injector{known}))
	check(server.Start(ctrl.SetupSignalHandler()))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
