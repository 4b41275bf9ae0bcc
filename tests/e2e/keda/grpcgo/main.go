// SPDX-License-Identifier: Apache-2.0

// The counterpart of bench_getmetrics.py: an external scaler as it is usually written, on grpc-go
// with KEDA's own stubs, answering GetMetrics from a map. `grpcgo OBJECTS [CERT KEY]` prints its address.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

type server struct {
	pb.UnimplementedExternalScalerServer
	desired map[string]float64 // by namespace/name; filled before serving, then only read
}

func (s *server) GetMetrics(_ context.Context, r *pb.GetMetricsRequest) (*pb.GetMetricsResponse, error) {
	v, ok := s.desired[r.ScaledObjectRef.Namespace+"/"+r.ScaledObjectRef.Name]
	if !ok {
		return nil, status.Error(codes.NotFound, "no such ScaledObject")
	}
	return &pb.GetMetricsResponse{MetricValues: []*pb.MetricValue{
		{MetricName: r.MetricName, MetricValue: int64(v), MetricValueFloat: v},
	}}, nil
}

func main() {
	objects, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	s := &server{desired: make(map[string]float64, objects)}
	for i := range objects {
		s.desired[fmt.Sprintf("default/llm-%d", i)] = float64(i%7 + 1)
	}
	var options []grpc.ServerOption
	if len(os.Args) == 4 {
		creds, err := credentials.NewServerTLSFromFile(os.Args[2], os.Args[3])
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, grpc.Creds(creds))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	g := grpc.NewServer(options...)
	pb.RegisterExternalScalerServer(g, s)
	fmt.Println(listener.Addr())
	log.Fatal(g.Serve(listener))
}
