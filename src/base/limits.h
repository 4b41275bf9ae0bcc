// SPDX-License-Identifier: Apache-2.0
/*
 * Every limit of the project. Going over one is an error that carries its name, counted and logged,
 * never a crash and never silent (DESIGN section 4, contract 4).
 */
#pragma once

enum {
    // GPUs and nodes
    LIMIT_GPUS_PER_NODE = 64,           // a node with 16 GPUs x 7 MIG instances is 112: see entities
    LIMIT_GPU_ENTITIES_PER_NODE = 256,  // GPUs and MIG instances together
    LIMIT_OWNERS_PER_GPU = 64,          // time-sliced replicas
    LIMIT_NODES = 20000,

    // Text pages and files
    LIMIT_METRICS_PAGE_BYTES = 16 << 20,// a scraped page
    LIMIT_METRICS_LINE_BYTES = 1 << 20, // one line of it
    LIMIT_METRICS_SERIES = 200000,      // samples read from one page
    LIMIT_METRICS_LABELS = 64,          // labels of one series
    LIMIT_CONFIG_BYTES = 4 << 20,
    LIMIT_REPLAY_BYTES = 64 << 20,

    // HTTP/1.1
    LIMIT_HTTP_HEAD_BYTES = 16 << 10,
    LIMIT_HTTP_HEADERS = 64,
    LIMIT_HTTP_BODY_BYTES = 1 << 20,
    LIMIT_HTTP_CONNECTIONS = 512,       // a listener; more are closed at accept
    LIMIT_HTTP_HEAD_MS = 10000,         // from the first byte (or accept) to the end of the head
    LIMIT_HTTP_IDLE_MS = 75000,
    LIMIT_HTTP_WRITE_STALL_MS = 30000,

    // HTTP/2 and gRPC
    LIMIT_GRPC_MESSAGE_BYTES = 4 << 20, // received by a client
    LIMIT_GRPC_REQUEST_BYTES = 64 << 10,// received by a server
    LIMIT_GRPC_UNPACK_FACTOR = 16,      // unpacked size / message size
    LIMIT_GRPC_STREAMS = 4096,          // concurrent, a connection
    LIMIT_GRPC_HEADER_BYTES = 8 << 10,
    LIMIT_GRPC_SEND_QUEUE_BYTES = 1 << 20, // unsent bytes of one stream
    LIMIT_GRPC_CONNECTIONS = 12000,
    LIMIT_GRPC_AGENT_CONNECTIONS = 64,
    LIMIT_GRPC_HANDSHAKE_MS = 10000,    // accept to the end of TLS and the HTTP/2 preface
    LIMIT_STREAM_WRITE_BYTES = 8 << 20, // unsent bytes of a connection: then it is closed

    // Policy
    LIMIT_METADATA_KEYS = 64,
    LIMIT_METADATA_VALUE_BYTES = 4096,
    LIMIT_EXPRESSION_NODES = 256,
    LIMIT_EXPRESSION_DEPTH = 32,
    LIMIT_PODS_PER_WORKLOAD = 4096,
    LIMIT_WORKLOADS = 20000,
    LIMIT_RECORDS_PER_WORKLOAD = 64,    // decisions kept in memory
    LIMIT_REPLICAS = 1000000,           // a decision is never larger

    // Threads
    LIMIT_QUEUE_ITEMS = 65536,
};
