"""A Modbus server of python3-pymodbus: server.py tcp|rtuovertcp PORT, or
server.py rtu PATH. Units 1 and 7 hold the values that the test knows."""
import asyncio
import sys

from pymodbus.datastore import ModbusServerContext, ModbusSlaveContext, ModbusSparseDataBlock
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer
from pymodbus.transaction import ModbusRtuFramer, ModbusSocketFramer


def unit(number):
    registers = {
        0: 2300 + number, 1: 0xFFF6,                       # uint16, int16 -10
        2: 0x4366, 3: 0x199A,                              # float32 230.1, ABCD
        4: 0x199A, 5: 0x4366,                              # the same, CDAB
        6: 0x0000, 7: 0x0000, 8: 0x0001, 9: 0xE240,        # uint64 123456
        # 10 to 13 do not exist
        14: 0x4564, 15: 0x6765,                            # "Edge"
        16: 0x0028,                                        # bits 3..5 are 5
        17: 0x8000,                                        # stands for none
    }
    bits = {0: 1, 1: 0, 2: 1}
    return ModbusSlaveContext(
        hr=ModbusSparseDataBlock(dict(registers)), ir=ModbusSparseDataBlock(dict(registers)),
        co=ModbusSparseDataBlock(dict(bits)), di=ModbusSparseDataBlock(dict(bits)), zero_mode=True)


async def main(mode, where):
    context = ModbusServerContext(slaves={1: unit(1), 7: unit(7)}, single=False)
    if mode == "rtu":
        await StartAsyncSerialServer(
            context=context, framer=ModbusRtuFramer, port=where, baudrate=19200, parity="N", bytesize=8, stopbits=1)
    else:
        framer = ModbusSocketFramer if mode == "tcp" else ModbusRtuFramer
        await StartAsyncTcpServer(context=context, framer=framer, address=("127.0.0.1", int(where)))


asyncio.run(main(sys.argv[1], sys.argv[2]))
