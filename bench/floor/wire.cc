#include "bench/floor/wire.h"

#include <grpc/slice.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <cstdint>

namespace tenure::bench::floor {

grpc::ByteBuffer Serialize(const google::protobuf::MessageLite& message) {
  grpc_slice raw = grpc_slice_malloc(message.ByteSizeLong());
  message.SerializeWithCachedSizesToArray(GRPC_SLICE_START_PTR(raw));
  grpc::Slice slice(raw, grpc::Slice::STEAL_REF);
  return grpc::ByteBuffer(&slice, 1);
}

bool Parse(grpc::ByteBuffer* buffer, google::protobuf::MessageLite* message) {
  grpc::Slice slice;
  if (buffer->TrySingleSlice(&slice).ok()) {
    return message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
  }
  grpc::ProtoBufferReader reader(buffer);
  return reader.status().ok() && message->ParseFromZeroCopyStream(&reader);
}

grpc::ChannelArguments FastChannelArguments() {
  grpc::ChannelArguments arguments;
  // No bandwidth probes (they are pings), and windows that do not need updates all the time.
  arguments.SetInt("grpc.http2.bdp_probe", 0);
  arguments.SetInt("grpc.http2.lookahead_bytes", 4 << 20);
  // No filters for deadlines, compression, message sizes or retries.
  arguments.SetInt("grpc.minimal_stack", 1);
  arguments.SetInt("grpc.enable_retries", 0);
  // A connection of our own per channel: no sharing with another channel of this process.
  arguments.SetInt("grpc.use_local_subchannel_pool", 1);
  return arguments;
}

}  // namespace tenure::bench::floor
