// Protobuf messages to and from gRPC's byte buffers.
#ifndef TENURE_BENCH_FLOOR_WIRE_H_
#define TENURE_BENCH_FLOOR_WIRE_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/channel_arguments.h>

namespace tenure::bench::floor {

inline constexpr char kOperateMethod[] = "/tenure.bench.floor.Relay/Operate";
inline constexpr char kFollowMethod[] = "/tenure.bench.floor.Relay/Follow";

// The buffer shares its bytes when it is copied: serialise once, send to many.
grpc::ByteBuffer Serialize(const google::protobuf::MessageLite& message);

// Replaces `message`. Reuse one message: it keeps its memory, so parsing then allocates nothing.
bool Parse(grpc::ByteBuffer* buffer, google::protobuf::MessageLite* message);

// The arguments of outgoing channels.
grpc::ChannelArguments FastChannelArguments();

}  // namespace tenure::bench::floor

#endif  // TENURE_BENCH_FLOOR_WIRE_H_
