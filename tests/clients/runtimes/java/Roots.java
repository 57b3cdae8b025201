import java.io.FileInputStream;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/** What the clients have in common: the call, and roots of their own. */
final class Roots {
    static final String URL = "https://api.openai.com/v1/chat/completions";
    static final String BODY =
            "{\"model\":\"gpt-4.1-mini\",\"messages\":"
                    + "[{\"role\":\"user\",\"content\":\"What holds a river back?\"}]}";
    private static final Pattern TOTAL = Pattern.compile("\"total_tokens\"\\s*:\\s*(\\d+)");

    final SSLContext context;
    final X509TrustManager trust;

    Roots(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (FileInputStream pem = new FileInputStream(file)) {
            store.setCertificateEntry(
                    "own", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory factory =
                TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        trust = (X509TrustManager) factory.getTrustManagers()[0];
        context = SSLContext.getInstance("TLS");
        context.init(null, factory.getTrustManagers(), null);
    }

    static void say(String answer) {
        Matcher total = TOTAL.matcher(answer);
        if (!total.find()) {
            throw new IllegalStateException("no usage in the answer");
        }
        System.out.println(total.group(1));
    }
}
