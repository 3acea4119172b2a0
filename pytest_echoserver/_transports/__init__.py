"""What asyncio's own transports do slowly or wrongly, and the differences between platforms."""
