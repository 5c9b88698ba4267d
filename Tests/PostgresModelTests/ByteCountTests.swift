import PostgresModel
import Testing

@Suite("An amount of bytes")
struct ByteCountTests {
    @Test(
        "is printed with a binary unit",
        arguments: [
            (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (102_297, "99.9 KiB"),
            (102_400, "100 KiB"),
            (39_531_315, "37.7 MiB"), (1 << 30, "1.0 GiB"), (-1536, "-1.5 KiB"), (Int.max, "8.0 EiB"), (Int.min, "-8.0 EiB"),
        ])
    func prints(bytes: Int, text: String) {
        #expect(ByteCount(bytes).description == text)
    }

    @Test(
        "is read with PostgreSQL's units, which are binary whatever their spelling",
        arguments: [
            ("0", 0), ("1073741824", 1 << 30), ("20GB", 20 << 30), ("512 MiB", 512 << 20), ("8kB", 8192), ("1TB", 1 << 40),
            ("7 B", 7),
            ("16mb", 16 << 20), ("9223372036854775807", Int.max),
        ])
    func reads(text: String, bytes: Int) {
        #expect(ByteCount(text)?.rawValue == bytes)
    }

    @Test(
        "is refused where it is none",
        arguments: [
            "", "GB", "-1", "+1", "1.5GB", "1 XB", "1GBs", " 1GB", "9223372036854775808", "9999999999GB", "8388608TB", "²",
            "1 G B",
        ])
    func refuses(text: String) {
        #expect(ByteCount(text) == nil)
    }

    @Test(
        "and every other figure has as many decimals as asked for",
        arguments: [
            (0.05, 1, "0.1"), (0.04, 1, "0.0"), (-0.04, 1, "0.0"), (1.999, 2, "2.00"), (-1.5, 1, "-1.5"), (12.0, 0, "12"),
            (3.007, 2, "3.01"),
            (3.001, 2, "3.00"),
        ])
    func decimals(value: Double, places: Int, text: String) {
        #expect(decimal(value, places: places) == text)
    }
}
