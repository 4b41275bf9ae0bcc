// SPDX-License-Identifier: Apache-2.0

// KEDA up to 2.16 knows only the int64 fields: the same server must make sense to it.
package keda

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

func field(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, message string, repeated bool) *descriptorpb.FieldDescriptorProto {
	label := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
	if repeated {
		label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED
	}
	f := &descriptorpb.FieldDescriptorProto{
		Name: proto.String(name), JsonName: proto.String(name), Number: proto.Int32(number),
		Type: kind.Enum(), Label: label.Enum(),
	}
	if message != "" {
		f.TypeName = proto.String(".old." + message)
	}
	return f
}

// oldMessages are the messages of KEDA 2.16 and earlier (no float fields).
func oldMessages(t *testing.T) protoreflect.FileDescriptor {
	const (
		str = descriptorpb.FieldDescriptorProto_TYPE_STRING
		i64 = descriptorpb.FieldDescriptorProto_TYPE_INT64
		msg = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	)
	message := func(name string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: proto.String(name), Field: fields}
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("old.proto"), Package: proto.String("old"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			message("Entry", field("key", 1, str, "", false), field("value", 2, str, "", false)),
			message("Ref", field("name", 1, str, "", false), field("namespace", 2, str, "", false),
				field("scalerMetadata", 3, msg, "Entry", true)),
			message("Spec", field("metricName", 1, str, "", false), field("targetSize", 2, i64, "", false)),
			message("SpecResponse", field("metricSpecs", 1, msg, "Spec", true)),
			message("MetricsRequest", field("scaledObjectRef", 1, msg, "Ref", false), field("metricName", 2, str, "", false)),
			message("Value", field("metricName", 1, str, "", false), field("metricValue", 2, i64, "", false)),
			message("MetricsResponse", field("metricValues", 1, msg, "Value", true)),
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestInt64OnlyClientOfKEDA216(t *testing.T) {
	s := startScaler(t, t.TempDir(), "", "workloads:\n"+workload("llm", 3), nil, nil)
	file := oldMessages(t)
	build := func(name string) *dynamicpb.Message {
		return dynamicpb.NewMessage(file.Messages().ByName(protoreflect.Name(name)))
	}
	set := func(m *dynamicpb.Message, name string, v protoreflect.Value) {
		m.Set(m.Descriptor().Fields().ByName(protoreflect.Name(name)), v)
	}
	get := func(m protoreflect.Message, name string) protoreflect.Value {
		return m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name)))
	}
	ref := build("Ref")
	set(ref, "name", protoreflect.ValueOfString("llm"))
	set(ref, "namespace", protoreflect.ValueOfString("default"))
	entries := ref.Mutable(ref.Descriptor().Fields().ByName("scalerMetadata")).List()
	for key, value := range rule(map[string]string{"scalerAddress": s.grpc}) {
		e := build("Entry")
		set(e, "key", protoreflect.ValueOfString(key))
		set(e, "value", protoreflect.ValueOfString(value))
		entries.Append(protoreflect.ValueOfMessage(e))
	}
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	spec := build("SpecResponse")
	if err := conn.Invoke(ctx, "/externalscaler.ExternalScaler/GetMetricSpec", ref, spec); err != nil {
		t.Fatal(err)
	}
	specs := get(spec, "metricSpecs").List()
	if specs.Len() != 1 || get(specs.Get(0).Message(), "targetSize").Int() != 1 {
		t.Fatalf("spec %v", spec)
	}
	request := build("MetricsRequest")
	set(request, "scaledObjectRef", protoreflect.ValueOfMessage(ref))
	set(request, "metricName", protoreflect.ValueOfString("desired-replicas"))
	eventually(t, "3 in the int64 field", func() bool {
		response := build("MetricsResponse")
		if err := conn.Invoke(ctx, "/externalscaler.ExternalScaler/GetMetrics", request, response); err != nil {
			return false
		}
		values := get(response, "metricValues").List()
		return values.Len() == 1 && get(values.Get(0).Message(), "metricValue").Int() == 3
	})
}
