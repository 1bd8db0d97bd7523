//! Bytes both ways between two connections, and never half a connection: when one side ends, both do.

use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Who does not take what it is sent for so long is gone.
const WRITE_TIME_MAX: Duration = Duration::from_secs(60);

/// Carries until either side ends, fails or takes nothing more; then both are closed.
pub async fn both_ways<A, B>(a: A, b: B)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let ((a_read, a_write), (b_read, b_write)) = (tokio::io::split(a), tokio::io::split(b));
    tokio::select! {
        () = one_way(a_read, b_write) => {}
        () = one_way(b_read, a_write) => {}
    }
}

async fn one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(n @ 1..) = from.read(&mut piece).await {
        let writing = tokio::time::timeout(WRITE_TIME_MAX, async {
            to.write_all(&piece[..n]).await?;
            to.flush().await
        });
        if !matches!(writing.await, Ok(Ok(()))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    #[tokio::test]
    async fn what_comes_goes_on_and_one_end_ends_both() {
        let ((mut client, inside), (outside, mut server)) = (duplex(16), duplex(16));
        let carrying = tokio::spawn(both_ways(inside, outside));
        client.write_all(b"question").await.unwrap();
        let mut heard = [0; 8];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"question");
        server.write_all(b"answer").await.unwrap();
        client.read_exact(&mut heard[..6]).await.unwrap();
        drop(server);
        carrying.await.unwrap();
        assert_eq!(client.read(&mut heard).await.unwrap(), 0);
    }
}
