/* An echo server: "echo udp" or "echo tcp" (one connection after the other). Prints the port it listens at. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
  static char buffer[65536];
  int udp = argc < 2 || strcmp(argv[1], "tcp") != 0, one = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int server = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
  if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof address) != 0) return 1;
  if (getsockname(server, (struct sockaddr *)&address, &length) != 0) return 1;
  if (!udp && listen(server, 16) != 0) return 1;
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  while (udp) {
    struct sockaddr_in source;
    socklen_t source_length = sizeof source;
    ssize_t size = recvfrom(server, buffer, sizeof buffer, 0, (struct sockaddr *)&source, &source_length);
    if (size >= 0) sendto(server, buffer, size, 0, (struct sockaddr *)&source, source_length);
  }
  for (;;) {
    int client = accept(server, NULL, NULL);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (ssize_t size; (size = read(client, buffer, sizeof buffer)) > 0;)
      if (write(client, buffer, size) != size) break;
    close(client);
  }
}
